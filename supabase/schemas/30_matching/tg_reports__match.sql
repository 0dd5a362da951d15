-- A report that may be shared is matched in the transaction that files it.
--
-- Called by: insert on public.reports. Definer, because a survivor has no rights on services, offers and settings.
-- Locks: the report row, which is new.

create or replace function private.tg_reports__match()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.match_report(new.report_id);
  return null;
end;
$$;
comment on function private.tg_reports__match() is 'Definer: survivors may not read services or write offers. Matches the new report.';
revoke all on function private.tg_reports__match() from public, anon, authenticated, service_role;

create trigger _500_match
after insert on public.reports
for each row
when (new.status = 'pending')
execute function private.tg_reports__match();
