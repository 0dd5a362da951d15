-- Archives a report when no accepted and no pending offer of it is left.
--
-- Called by complete_case, under the report's lock. What still waited for a professional stops waiting. Locks: the
-- report.

create or replace function private.archive_report(report_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if exists (
    select 1
    from public.matched_services as m
    where m.report_id = archive_report.report_id and m.match_status_type in ('pending', 'accepted')
  ) then
    return;
  end if;
  update private.response_clocks as c
  set settled_at = private.clock()
  where c.report_id = archive_report.report_id and c.settled_at is null;
  update private.escalations as e
  set resolved_at = private.clock()
  where e.report_id = archive_report.report_id and e.resolved_at is null;
  update public.reports as r
  set status = 'archived', archived_at = private.clock()
  where r.report_id = archive_report.report_id and r.status <> 'archived';
end;
$$;
comment on function private.archive_report(uuid) is 'Archives the report unless an offer is still pending or accepted.';
revoke all on function private.archive_report(uuid) from public, anon, authenticated, service_role;
