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
      when offers.is_held then 'accepted'::public.match_status
      when needs.answers then 'escalated'
      when offers.is_open then 'matched'
      when needs.anybody then 'escalated'
      else 'pending'
    end as match_status
    from (
      select bool_or(m.match_status_type in ('accepted', 'completed')) as is_held, bool_or(m.match_status_type = 'pending') as is_open
      from public.matched_services as m
      where m.report_id = update_match_status.report_id
    ) as offers
    cross join (
      select bool_or(e.reason = 'no_answer') as answers, count(*) > 0 as anybody
      from private.escalations as e
      where e.report_id = update_match_status.report_id and e.resolved_at is null
    ) as needs
  ) as now_true
  where r.report_id = update_match_status.report_id and r.match_status <> now_true.match_status;
end;
$$;
comment on function private.update_match_status(uuid) is 'Recomputes reports.match_status.';
revoke all on function private.update_match_status(uuid) from public, anon, authenticated, service_role;
