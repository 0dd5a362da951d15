-- A booking waits no more: its conflict is over, the time blocked for it is free, and its client's data is not kept here.
--
-- Called by settle_cal_com_booking and place_cal_com_booking, under the professional's lock. Locks: the rows it changes.

create or replace function private.clear_cal_com_conflict(booking private.cal_com_bookings)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.cal_com_conflicts as c
  set resolved_at = private.clock()
  where c.professional_id = booking.professional_id and c.booking_uid = booking.uid and c.resolved_at is null;
  delete from public.availability_exceptions as e
  where e.id = (select b.exception_id from private.cal_com_bookings as b where b.id = booking.id);
  update private.cal_com_bookings as b set details = null where b.id = booking.id and b.details is not null;
end;
$$;
comment on function private.clear_cal_com_conflict(private.cal_com_bookings) is 'Resolves the open conflict of a booking, if there is one, and forgets the details it waited with.';
revoke all on function private.clear_cal_com_conflict(private.cal_com_bookings) from public, anon, authenticated, service_role;
