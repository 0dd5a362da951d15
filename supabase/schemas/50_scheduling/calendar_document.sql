-- One appointment as an iCalendar object (RFC 5545, 5546), the same as the worker mails.
--
-- Called by calendar_links. One UID for life, the sequence of the row, times in UTC. Every value is made here and short,
-- so that nothing needs escaping or folding. Locks: none.

create or replace function private.calendar_document(appointment public.appointments, case_code text)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_basic constant text := 'YYYYMMDD"T"HH24MISS"Z"';
  v_is_cancelled boolean := appointment.status = 'cancelled';
begin
  return array_to_string(array[
    'BEGIN:VCALENDAR',
    'VERSION:2.0',
    'PRODID:-//Appointment//Appointment//EN',
    'METHOD:' || case when v_is_cancelled then 'CANCEL' else 'PUBLISH' end,
    'BEGIN:VEVENT',
    'UID:' || appointment.appointment_id || '@sauti',
    'SEQUENCE:' || appointment.sequence,
    'DTSTAMP:' || to_char(appointment.updated_at at time zone 'UTC', v_basic),
    'CREATED:' || to_char(appointment.created_at at time zone 'UTC', v_basic),
    'LAST-MODIFIED:' || to_char(appointment.updated_at at time zone 'UTC', v_basic),
    'DTSTART:' || to_char(appointment.appointment_date at time zone 'UTC', v_basic),
    'DTEND:' || to_char(
      (appointment.appointment_date + make_interval(mins => appointment.duration_minutes)) at time zone 'UTC', v_basic
    ),
    'STATUS:' || case appointment.status when 'requested' then 'TENTATIVE' when 'cancelled' then 'CANCELLED' else 'CONFIRMED' end,
    'CLASS:PRIVATE',
    'TRANSP:' || case when v_is_cancelled then 'TRANSPARENT' else 'OPAQUE' end,
    'SUMMARY:Appointment',
    'DESCRIPTION:' || case_code,
    'END:VEVENT',
    'END:VCALENDAR',
    ''
  ], E'\r\n');
end;
$$;
comment on function private.calendar_document(public.appointments, text) is 'The iCalendar text of one appointment, lines ended by CR LF.';
revoke all on function private.calendar_document(public.appointments, text) from public, anon, authenticated, service_role;
