-- Lets a note in: its author holds the case, and the session it names is one of that case.
--
-- Called by: insert and update on public.case_notes. Definer: it reads the report's state. Somebody else's case and a
-- missing one are the same answer. Locks: the report, shared, against its withdrawal.

create or replace function private.tg_case_notes__admit()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_match public.matched_services;
  v_status public.report_status;
begin
  if new.body is null or new.body !~ '[^[:space:]]' or length(new.body) > 20000 then
    perform private.raise_error('invalid_input', 'body: 1 to 20000 characters.');
  end if;
  select r.status into v_status
  from public.matched_services as m
  join public.reports as r on r.report_id = m.report_id
  where m.id = new.matched_services and m.professional_id = new.professional_id
    and new.professional_id = coalesce(auth.uid(), new.professional_id)
  for share of r;
  if not found then
    perform private.raise_error('not_found');
  end if;
  select m.* into v_match from public.matched_services as m where m.id = new.matched_services;
  if v_status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif not private.has_case_access(v_match) then
    perform private.raise_error('case_not_open');
  elsif new.appointment_id is not null and not exists (
    select 1
    from public.appointments as a
    where a.appointment_id = new.appointment_id and a.matched_services = new.matched_services
  ) then
    perform private.raise_error('not_found', 'There is no such session of this case.');
  end if;
  if tg_op = 'INSERT' then
    new.version := 1;
    new.created_at := private.clock();
    new.updated_at := private.clock();
  else
    insert into public.case_note_versions (note_id, version, professional_id, body, written_at)
    values (old.id, old.version, old.professional_id, old.body, old.updated_at);
    new.version := old.version + 1;
    new.updated_at := private.clock();
  end if;
  return new;
end;
$$;
comment on function private.tg_case_notes__admit() is 'Definer: reads the state of the case and keeps the version before. Raises not_found, case_not_open, report_withdrawn or invalid_input.';
revoke all on function private.tg_case_notes__admit() from public, anon, authenticated, service_role;

create trigger _100_admit_insert
before insert on public.case_notes
for each row execute function private.tg_case_notes__admit();

create trigger _100_admit_update
before update of body on public.case_notes
for each row
when (old.body is distinct from new.body)
execute function private.tg_case_notes__admit();
