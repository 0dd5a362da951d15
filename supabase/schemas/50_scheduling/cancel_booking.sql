-- A visitor calls a booking off; the time is free at once.
--
-- Called by whoever has its manage token. Repeated, it changes nothing. Definer: visitors may write nothing. Locks: see
-- booking_of_token.

create or replace function private.cancel_booking(token text, reason text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_appointment public.appointments;
begin
  if length(reason) > 500 then
    perform private.raise_error('invalid_input', 'reason: at most 500 characters');
  end if;
  v_appointment := private.booking_of_token(token);
  if v_appointment.status <> 'cancelled' then
    update public.appointments as a
    set status = 'cancelled', cancel_reason = reason, cancelled_by = v_appointment.survivor_id
    where a.appointment_id = v_appointment.appointment_id
    returning a.* into v_appointment;
  end if;
  return private.booking_facts(v_appointment);
end;
$$;
comment on function private.cancel_booking(text, text) is 'Definer: visitors may write nothing. The caller must hold the booking''s token.';
revoke all on function private.cancel_booking(text, text) from public, anon, authenticated, service_role;
grant execute on function private.cancel_booking(text, text) to anon, authenticated, service_role;

create or replace function public.cancel_booking(token text, reason text default null)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return private.cancel_booking(token, reason);
end;
$$;
comment on function public.cancel_booking(text, text) is
  'Visitor: requested or confirmed → cancelled, with a reason of at most 500 characters. → jsonb as booking_by_token. Errors: not_found, invalid_transition, invalid_input.';
revoke all on function public.cancel_booking(text, text) from public, anon, authenticated, service_role;
grant execute on function public.cancel_booking(text, text) to anon, authenticated, service_role;
