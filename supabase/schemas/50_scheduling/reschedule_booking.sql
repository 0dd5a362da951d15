-- A visitor moves a booking to another free slot, and asks anew.
--
-- Called by whoever has its manage token. Repeated, it changes nothing. Definer: visitors may write nothing. Locks: see
-- booking_of_token.

create or replace function private.reschedule_booking(token text, starts_at timestamptz)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_appointment public.appointments := private.booking_of_token(token);
begin
  perform private.check_appointment_time(starts_at, v_appointment.duration_minutes, v_appointment.appointment_type);
  if v_appointment.status not in ('requested', 'confirmed') then
    perform private.raise_error('invalid_transition', format('A booking that is %s cannot be moved.', v_appointment.status));
  elsif v_appointment.appointment_date <= private.clock() then
    perform private.raise_error('invalid_transition', 'A booking that has begun cannot be moved.');
  elsif v_appointment.appointment_date <> starts_at then
    perform private.require_free_slot(
      v_appointment.professional_id, starts_at, v_appointment.duration_minutes, v_appointment.survivor_id,
      moved_id => v_appointment.appointment_id
    );
    v_appointment := private.move_appointment(v_appointment, starts_at, v_appointment.duration_minutes, 'requested');
  end if;
  return private.booking_facts(v_appointment);
end;
$$;
comment on function private.reschedule_booking(text, timestamptz) is 'Definer: visitors may write nothing. The caller must hold the booking''s token.';
revoke all on function private.reschedule_booking(text, timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.reschedule_booking(text, timestamptz) to anon, authenticated, service_role;

create or replace function public.reschedule_booking(token text, starts_at timestamptz)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return private.reschedule_booking(token, starts_at);
end;
$$;
comment on function public.reschedule_booking(text, timestamptz) is
  'Visitor: moves a booking to a free slot; it is requested again. → jsonb as booking_by_token. Errors: not_found, invalid_input, in_the_past, invalid_transition, slot_taken, outside_availability.';
revoke all on function public.reschedule_booking(text, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.reschedule_booking(text, timestamptz) to anon, authenticated, service_role;
