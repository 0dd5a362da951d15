-- A professional records that nobody came.
--
-- Called by the professional. Definer: appointments are not writable directly. Repeated, it changes nothing. Locks: the professional,
-- then the appointment.

create or replace function private.mark_no_show(appointment_id uuid)
returns public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_appointment public.appointments;
begin
  perform private.require_user();
  v_appointment := private.own_appointment(appointment_id, true);
  if v_appointment.status <> 'no_show' then
    update public.appointments as a
    set status = 'no_show'
    where a.appointment_id = v_appointment.appointment_id
    returning a.* into v_appointment;
  end if;
  return v_appointment;
end;
$$;
comment on function private.mark_no_show(uuid) is 'Definer: appointments are not writable directly. The caller must be its professional.';
revoke all on function private.mark_no_show(uuid) from public, anon, authenticated, service_role;
grant execute on function private.mark_no_show(uuid) to authenticated;

create or replace function public.mark_no_show(appointment_id uuid)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.mark_no_show(appointment_id);
end;
$$;
comment on function public.mark_no_show(uuid) is 'Professional: confirmed → no_show. → the appointment. Errors: not_found, invalid_transition.';
revoke all on function public.mark_no_show(uuid) from public, anon, authenticated, service_role;
grant execute on function public.mark_no_show(uuid) to anon, authenticated;
