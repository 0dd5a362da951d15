-- Ends a report against which consent no longer stands: offers, future sessions, clocks, messages under way, the place.
--
-- Called by withdraw_report and by the erasure of an account, under their locks. Cancelling the sessions takes them out of
-- both calendars. Mail that waits is dropped; that a session is cancelled is said anew. Locks: none beyond the
-- caller's.

create or replace function private.end_report(report public.reports)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  delete from private.outbox_jobs as j
  using public.notifications as n
  left join public.matched_services as m on m.id = n.matched_services
  where j.notification_id = n.id and j.state = 'pending' and report.report_id in (n.report_id, m.report_id);
  update public.matched_services as m
  set match_status_type = 'withdrawn', closed_at = private.clock()
  where m.report_id = report.report_id and m.match_status_type in ('pending', 'accepted');
  update public.appointments as a
  set status = 'cancelled', cancelled_by = a.survivor_id
  from public.matched_services as m
  where m.report_id = report.report_id and a.matched_services = m.id and a.status in ('requested', 'confirmed')
    and upper(private.appointment_during(a.appointment_date, a.duration_minutes)) > private.clock();
  update private.response_clocks as c
  set settled_at = private.clock()
  where c.report_id = report.report_id and c.settled_at is null;
  update private.escalations as e
  set resolved_at = private.clock()
  where e.report_id = report.report_id and e.resolved_at is null;
  update public.reports as r
  set status = 'withdrawn', consent_to_share = false, consent_location = false, latitude = null, longitude = null,
    match_status = 'pending', ismatched = false
  where r.report_id = report.report_id;
end;
$$;
comment on function private.end_report(public.reports) is 'report → withdrawn, with everything that hung on it.';
revoke all on function private.end_report(public.reports) from public, anon, authenticated, service_role;
