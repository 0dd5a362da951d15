-- Moves an appointment, or says slot_taken without telling by whom.
--
-- Called by reschedule_appointment and reschedule_booking, with the professional and the appointment locked. An appointment
-- that is already there is left alone, so a repeated call has no second effect. The exclusion constraints are the judge
-- of conflicts; their message, which holds the other row's values, never leaves here.

create or replace function private.move_appointment(
  appointment public.appointments, starts_at timestamptz, duration_minutes integer, status public.appointment_status
)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_appointment public.appointments;
begin
  update public.appointments as a
  set appointment_date = starts_at, duration_minutes = move_appointment.duration_minutes, status = move_appointment.status
  where a.appointment_id = appointment.appointment_id
  returning a.* into v_appointment;
  return v_appointment;
exception
  when exclusion_violation or deadlock_detected then
    perform private.raise_error('slot_taken');
end;
$$;
comment on function private.move_appointment(public.appointments, timestamptz, integer, public.appointment_status) is 'The appointment at its new time; raises slot_taken.';
revoke all on function private.move_appointment(public.appointments, timestamptz, integer, public.appointment_status) from public, anon, authenticated, service_role;
