-- Puts a required service of a report in front of the administrators, once per reason.
--
-- Called by matching and the response clock, under the report's lock. The row carries the masked facts only. Locks: none
-- beyond its own row.

create or replace function private.escalate(report public.reports, service_type public.service_type, reason text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  insert into private.escalations (
    report_id, service_type, reason, incident_type, urgency, gender, age_category, reported_at, escalated_at
  )
  values (
    report.report_id, escalate.service_type, escalate.reason, report.incident_type, report.urgency, report.gender,
    report.age_category, report.created_at, private.clock()
  )
  -- What was settled once and is open again is told again.
  on conflict on constraint escalations_pkey do update
  set escalated_at = excluded.escalated_at, resolved_at = null
  where private.escalations.resolved_at is not null;
  if found then
    update private.response_clocks as c
    set escalated_at = private.clock()
    where c.report_id = report.report_id and c.service_type = escalate.service_type
      and c.escalated_at is null and escalate.reason <> 'no_child_specialist';
    perform private.notify(
      array(select p.id from public.profiles as p where p.user_type = 'admin'), 'case_escalated', report_id => report.report_id
    );
  end if;
end;
$$;
comment on function private.escalate(public.reports, public.service_type, text) is 'reason: no_candidate, no_answer, no_child_specialist or professional_left. A second call for the same does nothing while it is open.';
revoke all on function private.escalate(public.reports, public.service_type, text) from public, anon, authenticated, service_role;
