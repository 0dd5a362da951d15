-- Reports that nobody took in time, for administrators: masked facts, age, what was tried.
--
-- Read by: administrators, through the policy of private.escalations. Locks: none.

create or replace view public.escalations
with (security_invoker = true)
as
select e.report_id, e.service_type, e.reason, e.incident_type, e.urgency, e.gender, e.age_category, e.reported_at,
  e.escalated_at,
  floor(extract(epoch from private.clock() - e.reported_at) / 60)::integer as age_minutes,
  private.escalation_attempts(e.report_id, e.service_type) as attempts
from private.escalations as e
where e.resolved_at is null;
comment on view public.escalations is 'Open escalations, administrators only: masked facts, how long the report has waited, what was tried.';
comment on column public.escalations.report_id is 'The report.';
comment on column public.escalations.service_type is 'The service that nobody took.';
comment on column public.escalations.reason is 'no_candidate, no_answer, no_child_specialist, or professional_left: who held it cannot go on.';
comment on column public.escalations.incident_type is 'Masked fact.';
comment on column public.escalations.urgency is 'Urgency of the report.';
comment on column public.escalations.gender is 'Masked fact.';
comment on column public.escalations.age_category is 'Masked fact.';
comment on column public.escalations.reported_at is 'When help was asked for.';
comment on column public.escalations.escalated_at is 'When it was escalated.';
comment on column public.escalations.age_minutes is 'Minutes since the report.';
comment on column public.escalations.attempts is 'Numbers of offers: offered, pending, declined, expired, withdrawn; and which steps of the response clock were taken: nudged, widened, opened.';
