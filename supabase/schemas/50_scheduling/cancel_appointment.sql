-- Either party calls a live appointment off; the time is free at once.
--
-- Called by either party. Definer: appointments are not writable directly. Repeated, it changes nothing. Locks: the professional,
-- then the appointment.

create or replace function private.cancel_appointment(appointment_id uuid, reason text)
returns public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_appointment public.appointments;
begin
  if length(reason) > 500 then
    perform private.raise_error('invalid_input', 'reason: at most 500 characters');
  end if;
  v_appointment := private.own_appointment(appointment_id, false);
  if v_appointment.status <> 'cancelled' then
    update public.appointments as a
    set status = 'cancelled', cancel_reason = reason, cancelled_by = v_user_id
    where a.appointment_id = v_appointment.appointment_id
    returning a.* into v_appointment;
  end if;
  return v_appointment;
end;
$$;
comment on function private.cancel_appointment(uuid, text) is 'Definer: appointments are not writable directly. The caller must be one of its parties.';
revoke all on function private.cancel_appointment(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.cancel_appointment(uuid, text) to authenticated;

create or replace function public.cancel_appointment(appointment_id uuid, reason text default null)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.cancel_appointment(appointment_id, reason);
end;
$$;
comment on function public.cancel_appointment(uuid, text) is 'Either party: requested or confirmed → cancelled. reason of at most 500 characters. → the appointment. Errors: not_found, invalid_transition, invalid_input.';
revoke all on function public.cancel_appointment(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.cancel_appointment(uuid, text) to anon, authenticated;
