-- Tries the open conflicts of a professional again.
--
-- Called when one of their appointments ends or moves. Locks: held by the caller, the professional first.

create or replace function private.settle_cal_com_conflicts(professional_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_uid text;
begin
  for v_uid in
    select c.booking_uid
    from public.cal_com_conflicts as c
    where c.professional_id = settle_cal_com_conflicts.professional_id and c.resolved_at is null
      and c.kind = 'overlap' and upper(c.during) > private.clock()
    order by lower(c.during), c.booking_uid
  loop
    perform private.settle_cal_com_booking(settle_cal_com_conflicts.professional_id, v_uid);
  end loop;
end;
$$;
comment on function private.settle_cal_com_conflicts(uuid) is 'Gives Cal.com bookings the place that has become free.';
revoke all on function private.settle_cal_com_conflicts(uuid) from public, anon, authenticated, service_role;
