-- Brings a report's match_status in line with its offers and escalations.
--
-- Called after every change of a report's offers, under the report's lock. accepted, before an escalation for silence,
-- before matched, before an escalation for want of candidates. Locks: the report row.

create or replace function private.update_match_status(report_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.reports as r
  set match_status = now_true.match_status
  from (
    select case
      when exists (
        select 1 from public.matched_services as m
        where m.report_id = update_match_status.report_id and m.match_status_type in ('accepted', 'completed')
      ) then 'accepted'::public.match_status
      when exists (
        select 1 from private.escalations as e
        where e.report_id = update_match_status.report_id and e.resolved_at is null and e.reason = 'no_answer'
      ) then 'escalated'
      when exists (
        select 1 from public.matched_services as m
        where m.report_id = update_match_status.report_id and m.match_status_type = 'pending'
      ) then 'matched'
      when exists (
        select 1 from private.escalations as e
        where e.report_id = update_match_status.report_id and e.resolved_at is null
      ) then 'escalated'
      else 'pending'
    end as match_status
  ) as now_true
  where r.report_id = update_match_status.report_id and r.match_status <> now_true.match_status;
end;
$$;
comment on function private.update_match_status(uuid) is 'Recomputes reports.match_status.';
revoke all on function private.update_match_status(uuid) from public, anon, authenticated, service_role;
