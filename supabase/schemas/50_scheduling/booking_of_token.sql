-- The booking that a manage token opens, locked; a wrong token opens nothing.
--
-- Called by the functions with which a visitor changes a booking. Locks: the professional, the survivor, the appointment.

create or replace function private.booking_of_token(token text)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_appointment public.appointments;
begin
  select a.* into v_appointment
  from private.booking_tokens as t
  join public.appointments as a on a.appointment_id = t.appointment_id
  where t.token_hash = private.hash_token(token);
  if not found then
    perform private.raise_error('not_found');
  end if;
  perform 1 from public.professionals as p where p.id = v_appointment.professional_id for no key update;
  perform 1 from public.profiles as p where p.id = v_appointment.survivor_id for no key update;
  select a.* into v_appointment
  from public.appointments as a
  where a.appointment_id = v_appointment.appointment_id
  for no key update;
  return v_appointment;
end;
$$;
comment on function private.booking_of_token(text) is 'The booking of a manage token, locked; raises not_found.';
revoke all on function private.booking_of_token(text) from public, anon, authenticated, service_role;
