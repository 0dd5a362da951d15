-- What a visitor sees of a booking: the time, the state, with whom. Nothing that the visitor wrote.
--
-- Called by booking_by_token, cancel_booking and reschedule_booking. Whoever finds the token in a browser's history learns
-- no name and no message. Locks: none.

create or replace function private.booking_facts(appointment public.appointments)
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
      'professional_id', p.id,
      'professional_title', p.professional_title,
      'starts_at', appointment.appointment_date,
      'ends_at', upper(private.appointment_during(appointment.appointment_date, appointment.duration_minutes)),
      'duration_minutes', appointment.duration_minutes,
      'appointment_type', appointment.appointment_type,
      'status', appointment.status,
      'held_until', appointment.held_until,
      'sequence', appointment.sequence,
      'time_zone', appointment.time_zone,
      'meeting_url', case appointment.status when 'confirmed' then appointment.meeting_url end,
      'location', case appointment.status when 'confirmed' then appointment.location end,
      'created_at', appointment.created_at,
      'revised_at', appointment.updated_at,
      'calendar_links', private.calendar_links(appointment, null)
    )
    from public.professionals as p
    where p.id = appointment.professional_id
  );
end;
$$;
comment on function private.booking_facts(public.appointments) is 'jsonb for the visitor''s page of one booking.';
revoke all on function private.booking_facts(public.appointments) from public, anon, authenticated, service_role;
