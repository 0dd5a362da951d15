-- A request for support is counted for the statistics: anonymous facts and the month, nothing that leads back.
--
-- Called by: insert and update on public.reports, once for each report that may be shared. Definer: the facts are
-- private. A row of its own instead of a counter, because reports filed at once must not wait for each other.

create or replace function private.tg_reports__count_case()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  insert into private.case_facts (month, incident_type, urgency, gender, age_category, required_services)
  values (
    date_trunc('month', private.clock() at time zone 'UTC')::date, new.incident_type, new.urgency, new.gender,
    new.age_category, new.required_services
  );
  return null;
end;
$$;
comment on function private.tg_reports__count_case() is 'Definer: the facts of the statistics are private. Copies the masked facts and the month.';
revoke all on function private.tg_reports__count_case() from public, anon, authenticated, service_role;

create trigger _800_count_case_insert
after insert on public.reports
for each row
when (new.status = 'pending')
execute function private.tg_reports__count_case();

create trigger _800_count_case_update
after update of status on public.reports
for each row
when (old.status = 'recorded' and new.status = 'pending')
execute function private.tg_reports__count_case();
