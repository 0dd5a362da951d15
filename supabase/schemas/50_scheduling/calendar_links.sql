-- Addresses that put an appointment into a calendar program: neutral, like everything that leaves this place.
--
-- Called by add_to_calendar_links and booking_facts. Title, time and case code; no place and no meeting address, either of
-- which can tell what the appointment is for. `ics` is the calendar file itself, as a data address: a cancelled appointment
-- says so there, the other programs' links can only add. Locks: none.

create or replace function private.calendar_links(appointment public.appointments, case_code text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_ends_at timestamptz := appointment.appointment_date + make_interval(mins => appointment.duration_minutes);
  v_basic constant text := 'YYYYMMDD"T"HH24MISS"Z"';
  v_extended constant text := 'YYYY-MM-DD"T"HH24:MI:SS"Z"';
  v_from text := to_char(appointment.appointment_date at time zone 'UTC', v_basic);
  v_until text := to_char(v_ends_at at time zone 'UTC', v_basic);
  v_details text := private.percent_encode(coalesce(case_code, ''));
  v_outlook text := '/calendar/0/deeplink/compose?path=/calendar/action/compose&rru=addevent&subject=Appointment&startdt='
    || private.percent_encode(to_char(appointment.appointment_date at time zone 'UTC', v_extended))
    || '&enddt=' || private.percent_encode(to_char(v_ends_at at time zone 'UTC', v_extended)) || '&body=' || v_details;
begin
  return jsonb_build_object(
    'google', 'https://calendar.google.com/calendar/render?action=TEMPLATE&text=Appointment&dates=' || v_from || '/' || v_until
      || '&details=' || v_details,
    'outlook', 'https://outlook.live.com' || v_outlook,
    'office365', 'https://outlook.office.com' || v_outlook,
    'yahoo', 'https://calendar.yahoo.com/?v=60&TITLE=Appointment&ST=' || v_from || '&ET=' || v_until || '&DESC=' || v_details,
    'ics', 'data:text/calendar;charset=utf-8,' || private.percent_encode(private.calendar_document(appointment, case_code))
  );
end;
$$;
comment on function private.calendar_links(public.appointments, text) is 'jsonb {google, outlook, office365, yahoo, ics}.';
revoke all on function private.calendar_links(public.appointments, text) from public, anon, authenticated, service_role;
