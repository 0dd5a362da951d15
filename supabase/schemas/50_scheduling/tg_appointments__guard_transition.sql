-- Only the transitions of docs/states.md, whoever writes; and the sequence rises with each change a calendar must know.
--
-- Called by: update on public.appointments. Locks: none.

create or replace function private.tg_appointments__guard_transition()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if new.status <> old.status and (old.status, new.status) not in (
    ('requested', 'confirmed'), ('requested', 'cancelled'),
    ('confirmed', 'requested'), ('confirmed', 'cancelled'), ('confirmed', 'completed'), ('confirmed', 'no_show')
  ) then
    perform private.raise_error(
      'invalid_transition', format('An appointment that is %s cannot become %s.', old.status, new.status)
    );
  end if;
  if (new.status <> old.status and new.status in ('requested', 'confirmed', 'cancelled'))
    or new.appointment_date <> old.appointment_date
    or new.duration_minutes <> old.duration_minutes
    or new.meeting_url is distinct from old.meeting_url
    or new.location is distinct from old.location
  then
    new.sequence := old.sequence + 1;
  end if;
  new.updated_at := private.clock();
  return new;
end;
$$;
comment on function private.tg_appointments__guard_transition() is 'Raises invalid_transition; raises the sequence (RFC 5546) and updated_at.';
revoke all on function private.tg_appointments__guard_transition() from public, anon, authenticated, service_role;

create trigger _100_guard_transition
before update on public.appointments
for each row execute function private.tg_appointments__guard_transition();
