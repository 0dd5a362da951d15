-- A booking that has no place: the professional sees it and is told once, and its time is offered to nobody.
--
-- Called by place_cal_com_booking, under the professional's lock. An appointment that the booking had before is cancelled:
-- at Cal.com nobody will come then.

create or replace function private.open_cal_com_conflict(booking private.cal_com_bookings, kind text, rival_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_during tstzrange := tstzrange(booking.starts_at, booking.ends_at);
  v_is_known boolean;
begin
  select true into v_is_known
  from public.cal_com_conflicts as c
  where c.professional_id = booking.professional_id and c.booking_uid = booking.uid and c.resolved_at is null
    and c.during = v_during;
  insert into public.cal_com_conflicts as c (professional_id, booking_uid, kind, during, appointment_id, created_at)
  values (booking.professional_id, booking.uid, open_cal_com_conflict.kind, v_during, rival_id, private.clock())
  on conflict (professional_id, booking_uid) where resolved_at is null do update
  set kind = excluded.kind, during = excluded.during, appointment_id = excluded.appointment_id;

  update public.availability_exceptions as e
  set during = v_during
  where e.id = (select b.exception_id from private.cal_com_bookings as b where b.id = booking.id);
  if not found then
    with blocked as (
      insert into public.availability_exceptions (professional_id, during, kind, reason)
      values (booking.professional_id, v_during, 'blocked', 'Cal.com')
      returning id
    )
    update private.cal_com_bookings as b set exception_id = blocked.id from blocked where b.id = booking.id;
  end if;
  update private.cal_com_bookings as b set appointment_id = null where b.id = booking.id and b.appointment_id is not null;
  update public.appointments as a
  set status = 'cancelled'
  where a.appointment_id = booking.appointment_id and a.status in ('requested', 'confirmed');
  if v_is_known is null then
    perform private.notify(array[booking.professional_id], 'cal_com_conflict', appointment_id => rival_id);
  end if;
end;
$$;
comment on function private.open_cal_com_conflict(private.cal_com_bookings, text, uuid) is 'Opens or renews the conflict of a booking, blocks its time, and notifies the professional.';
revoke all on function private.open_cal_com_conflict(private.cal_com_bookings, text, uuid) from public, anon, authenticated, service_role;
