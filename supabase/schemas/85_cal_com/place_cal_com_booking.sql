-- Gives a Cal.com booking its appointment: made, moved, cancelled, or in conflict.
--
-- Called by settle_cal_com_booking, under the professional's lock, so that nobody takes the time between look and write.
-- Sauti cannot refuse what Cal.com has promised: a booking that does not fit stands as a conflict and blocks its time.

create or replace function private.place_cal_com_booking(booking private.cal_com_bookings, is_handed_over boolean)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  -- Shorter meetings hold the shortest time that an appointment can have.
  v_minutes integer := greatest(30, ceil(extract(epoch from booking.ends_at - booking.starts_at) / 60)::integer);
  v_appointment public.appointments;
  v_rival uuid;
begin
  select a.* into v_appointment from public.appointments as a where a.appointment_id = booking.appointment_id for no key update;
  if v_appointment.status not in ('requested', 'confirmed') or booking.state = 'unknown' then
    -- Ended here by the professional, or nothing but a no-show is known: not ours to change.
    perform private.clear_cal_com_conflict(booking);
    return 'applied';
  elsif booking.state = 'cancelled' then
    perform private.clear_cal_com_conflict(booking);
    update public.appointments as a
    set status = 'cancelled', cancel_reason = booking.cancel_reason
    where a.appointment_id = v_appointment.appointment_id;
    return 'applied';
  end if;

  select a.appointment_id into v_rival
  from public.appointments as a
  where a.professional_id = booking.professional_id
    and a.appointment_id is distinct from v_appointment.appointment_id
    and a.status in ('requested', 'confirmed')
    and private.appointment_during(a.appointment_date, a.duration_minutes)
      && private.appointment_during(booking.starts_at, least(v_minutes, 120))
  order by a.appointment_date
  limit 1;
  if v_rival is not null or v_minutes > 120 then
    perform private.open_cal_com_conflict(booking, case when v_minutes > 120 then 'duration' else 'overlap' end, v_rival);
    return 'conflict';
  end if;

  perform private.clear_cal_com_conflict(booking);
  perform private.write_cal_com_appointment(booking, v_appointment, v_minutes, is_handed_over);
  return 'applied';
end;
$$;
comment on function private.place_cal_com_booking(private.cal_com_bookings, boolean) is 'Makes, moves or cancels the appointment of one booking. → applied or conflict.';
revoke all on function private.place_cal_com_booking(private.cal_com_bookings, boolean) from public, anon, authenticated, service_role;
