-- What a calendar may know of an appointment: times, state, link. Never a name, a service or an incident.
--
-- Called by message_context and calendar_event_context. Locks: none.

create or replace function private.appointment_facts(appointment public.appointments)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'appointment_id', appointment.appointment_id,
      'uid', appointment.appointment_id || '@sauti',
      'starts_at', appointment.appointment_date,
      'ends_at', upper(private.appointment_during(appointment.appointment_date, appointment.duration_minutes)),
      'duration_minutes', appointment.duration_minutes,
      'status', appointment.status,
      'sequence', appointment.sequence,
      'time_zone', appointment.time_zone,
      'meeting_url', appointment.meeting_url,
      'location', appointment.location,
      'case_code', (
        select r.case_code
        from public.matched_services as m
        join public.reports as r on r.report_id = m.report_id
        where m.id = appointment.matched_services
      ),
      'created_at', appointment.created_at,
      'revised_at', appointment.updated_at
    )
    where appointment.appointment_id is not null
  );
end;
$$;
comment on function private.appointment_facts(public.appointments) is 'jsonb for calendar entries and mail; null for no appointment.';
revoke all on function private.appointment_facts(public.appointments) from public, anon, authenticated, service_role;
