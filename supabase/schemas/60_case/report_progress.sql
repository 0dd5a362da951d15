-- How far my reports have come: one row for each, for the survivor's own screen.
--
-- Read by: the survivor, through the policies of the tables. The stage of a report is that of the service furthest
-- from its end among those in hand. Locks: none.

create or replace view public.report_progress
with (security_invoker = true)
as
select r.report_id,
  case
    when r.status = 'withdrawn' then 'withdrawn'
    when r.status = 'archived' then 'archived'
    when stages.services @? '$.* ? (@ == "awaiting_confirmation")' then 'awaiting_confirmation'
    when stages.services @? '$.* ? (@ == "session_completed")' then 'session_completed'
    when stages.services @? '$.* ? (@ == "accepted_scheduled")' then 'accepted_scheduled'
    when r.match_status = 'escalated' then 'escalated'
    when stages.services @? '$.* ? (@ == "matched")' then 'matched'
    else 'created'
  end as stage,
  stages.services,
  next_session.appointment_id as next_appointment_id,
  next_session.appointment_date as next_appointment_date,
  held.completed_sessions
from public.reports as r
cross join lateral (select private.service_stages(r.report_id) as services) as stages
left join lateral (
  select a.appointment_id, a.appointment_date
  from public.matched_services as m
  join public.appointments as a on a.matched_services = m.id
  where m.report_id = r.report_id and a.status in ('requested', 'confirmed') and a.appointment_date >= private.clock()
  order by a.appointment_date
  limit 1
) as next_session on true
cross join lateral (
  select count(*)::integer as completed_sessions
  from public.matched_services as m
  join public.appointments as a on a.matched_services = m.id
  where m.report_id = r.report_id and a.status = 'completed'
) as held;
comment on view public.report_progress is 'Stage of each of my reports and of each service asked for, the next appointment, and how many sessions were held.';
comment on column public.report_progress.report_id is 'The report.';
comment on column public.report_progress.stage is 'created, matched, accepted_scheduled, session_completed, awaiting_confirmation, archived, withdrawn or escalated.';
comment on column public.report_progress.services is '{service type: stage}.';
comment on column public.report_progress.next_appointment_id is 'The next live appointment.';
comment on column public.report_progress.next_appointment_date is 'When it starts.';
comment on column public.report_progress.completed_sessions is 'How many sessions were held.';
