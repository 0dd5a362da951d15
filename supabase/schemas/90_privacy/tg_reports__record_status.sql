-- Each change of a report's status goes into the ledger.
--
-- Called by: update on public.reports. Definer: nobody writes the ledger. Locks: none.

create or replace function private.tg_reports__record_status()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_audit(
    'report_status', auth.uid(), new.user_id, jsonb_build_object('from', old.status, 'to', new.status),
    jsonb_build_object('report_id', new.report_id)
  );
  return null;
end;
$$;
comment on function private.tg_reports__record_status() is 'Definer: nobody writes the ledger. Records report_status with its old and new state.';
revoke all on function private.tg_reports__record_status() from public, anon, authenticated, service_role;

create trigger _800_record_status
after update of status on public.reports
for each row
when (old.status <> new.status)
execute function private.tg_reports__record_status();
