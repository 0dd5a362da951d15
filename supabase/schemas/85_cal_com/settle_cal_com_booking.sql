-- Makes the appointment follow a Cal.com booking and the chain of bookings that it belongs to.
--
-- Called by apply_cal_com_event and settle_cal_com_conflicts, which have locked the professional. Only the newest booking
-- of a chain counts: it takes over the appointment of those it replaces, so that the calendar entry moves instead of
-- being made anew. What it does depends on the rows alone, so the order in which events came makes no difference.

create or replace function private.settle_cal_com_booking(professional_id uuid, uid text)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_uid text := settle_cal_com_booking.uid;
  v_next text;
  v_current private.cal_com_bookings;
  v_replaced uuid[];
  v_giver_id uuid;
  v_appointment_id uuid;
begin
  for i in 1..100 loop
    select n.uid into v_next
    from private.cal_com_bookings as n
    where n.professional_id = settle_cal_com_booking.professional_id and n.rescheduled_from = v_uid
    order by n.facts_at desc nulls last, n.uid desc
    limit 1;
    exit when v_next is null or v_next = settle_cal_com_booking.uid;
    v_uid := v_next;
  end loop;
  select b.* into strict v_current
  from private.cal_com_bookings as b
  where b.professional_id = settle_cal_com_booking.professional_id and b.uid = v_uid;

  -- The bookings that it replaces, nearest first.
  with recursive chain as (
    select v_current.id, v_current.rescheduled_from, 0 as place
    union all
    select b.id, b.rescheduled_from, c.place + 1
    from chain as c
    join private.cal_com_bookings as b
      on b.professional_id = settle_cal_com_booking.professional_id and b.uid = c.rescheduled_from
    where c.place < 100
  )
  select array_agg(c.id order by c.place) into v_replaced from chain as c where c.id <> v_current.id;

  if v_current.appointment_id is null and v_current.state in ('requested', 'confirmed') then
    select b.id, b.appointment_id into v_giver_id, v_appointment_id
    from private.cal_com_bookings as b
    join public.appointments as a on a.appointment_id = b.appointment_id and a.status in ('requested', 'confirmed')
    where b.id = any (v_replaced)
    order by array_position(v_replaced, b.id)
    limit 1;
    if v_giver_id is not null then
      update private.cal_com_bookings as b set appointment_id = null where b.id = v_giver_id;
      update private.cal_com_bookings as b set appointment_id = v_appointment_id where b.id = v_current.id
      returning b.* into v_current;
    end if;
  end if;
  perform private.clear_cal_com_conflict(b) from private.cal_com_bookings as b where b.id = any (v_replaced);
  update public.appointments as a
  set status = 'cancelled'
  where a.status in ('requested', 'confirmed') and a.appointment_id in (
    select b.appointment_id from private.cal_com_bookings as b where b.id = any (v_replaced)
  );
  return private.place_cal_com_booking(v_current, v_giver_id is not null);
end;
$$;
comment on function private.settle_cal_com_booking(uuid, text) is 'Brings the appointment of a chain of bookings up to date. → applied or conflict.';
revoke all on function private.settle_cal_com_booking(uuid, text) from public, anon, authenticated, service_role;
