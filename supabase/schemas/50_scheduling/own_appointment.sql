-- Locks an appointment of the caller, and gives it back as it is then.
--
-- Called by the functions that change one. `as_professional` asks for the professional's side. Another person's
-- appointment and a missing one are the same answer. Locks: the professional, the survivor, the appointment.

create or replace function private.own_appointment(appointment_id uuid, as_professional boolean)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_appointment public.appointments;
begin
  perform 1
  from public.professionals as p
  where p.id = (
    select a.professional_id
    from public.appointments as a
    where a.appointment_id = own_appointment.appointment_id
      and (a.professional_id = v_user_id or (not as_professional and a.survivor_id = v_user_id))
  )
  for no key update;
  -- The survivor after the professional, as everywhere: two moves of one survivor must not wait for each other's row.
  perform 1
  from public.profiles as p
  where p.id = (
    select a.survivor_id
    from public.appointments as a
    where a.appointment_id = own_appointment.appointment_id
      and (a.professional_id = v_user_id or (not as_professional and a.survivor_id = v_user_id))
  )
  for no key update;
  select a.* into v_appointment
  from public.appointments as a
  where a.appointment_id = own_appointment.appointment_id
    and (a.professional_id = v_user_id or (not as_professional and a.survivor_id = v_user_id))
  for no key update;
  if not found then
    perform private.raise_error('not_found');
  end if;
  return v_appointment;
end;
$$;
comment on function private.own_appointment(uuid, boolean) is 'The caller''s appointment, locked; raises not_found.';
revoke all on function private.own_appointment(uuid, boolean) from public, anon, authenticated, service_role;
