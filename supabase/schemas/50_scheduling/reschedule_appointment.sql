-- Either party moves a live appointment.
--
-- Called by the professional, who may choose any time and keeps it confirmed, and by the survivor, who may choose a free
-- slot and asks anew. Repeated, it changes nothing. Definer: appointments are not writable directly. Locks: the
-- professional, the survivor, the appointment.

create or replace function private.reschedule_appointment(appointment_id uuid, starts_at timestamptz, duration_minutes integer)
returns public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_appointment public.appointments;
  v_minutes integer;
  v_by_professional boolean;
begin
  v_appointment := private.own_appointment(appointment_id, false);
  v_minutes := coalesce(reschedule_appointment.duration_minutes, v_appointment.duration_minutes);
  v_by_professional := v_appointment.professional_id = v_user_id;
  perform private.check_appointment_time(starts_at, v_minutes, v_appointment.appointment_type);
  if v_appointment.status not in ('requested', 'confirmed') then
    perform private.raise_error(
      'invalid_transition', format('An appointment that is %s cannot be moved.', v_appointment.status)
    );
  elsif v_appointment.appointment_date = starts_at and v_appointment.duration_minutes = v_minutes then
    return v_appointment;
  elsif v_by_professional then
    return private.move_appointment(v_appointment, starts_at, v_minutes, v_appointment.status);
  elsif v_appointment.appointment_date <= private.clock() then
    perform private.raise_error('invalid_transition', 'An appointment that has begun cannot be moved.');
  end if;
  perform private.require_free_slot(
    v_appointment.professional_id, starts_at, v_minutes, v_user_id,
    private.is_crisis_case(v_appointment.professional_id, v_user_id), v_appointment.appointment_id
  );
  return private.move_appointment(v_appointment, starts_at, v_minutes, 'requested');
end;
$$;
comment on function private.reschedule_appointment(uuid, timestamptz, integer) is 'Definer: appointments are not writable directly. The caller must be one of its parties.';
revoke all on function private.reschedule_appointment(uuid, timestamptz, integer) from public, anon, authenticated, service_role;
grant execute on function private.reschedule_appointment(uuid, timestamptz, integer) to authenticated;

create or replace function public.reschedule_appointment(
  appointment_id uuid, starts_at timestamptz, duration_minutes integer default null
)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.reschedule_appointment(appointment_id, starts_at, duration_minutes);
end;
$$;
comment on function public.reschedule_appointment(uuid, timestamptz, integer) is
  'Either party: moves a requested or confirmed appointment, by default at its present length. The professional to any time, its status stays; the survivor to a free slot, and it is requested again. → the appointment. Errors: not_found, invalid_input, in_the_past, invalid_duration, invalid_transition, slot_taken, outside_availability.';
revoke all on function public.reschedule_appointment(uuid, timestamptz, integer) from public, anon, authenticated, service_role;
grant execute on function public.reschedule_appointment(uuid, timestamptz, integer) to anon, authenticated;
