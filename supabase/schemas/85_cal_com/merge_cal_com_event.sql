-- Merges one event into the row of its booking: a join in the sense of lattices, so order and repetition do not matter.
--
-- Called by apply_cal_com_event, under the professional's lock. Cancelled is final: Cal.com never revives a uid; and what
-- has been confirmed is not asked for again. The newest event gives time and details; of two with the same createdAt the
-- one with the greater name, which is arbitrary but fixed.

create or replace function private.merge_cal_com_event(professional_id uuid, read jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_created_at timestamptz := (read ->> 'created_at')::timestamptz;
  v_trigger text := read ->> 'trigger';
begin
  insert into private.cal_com_bookings (professional_id, uid)
  values (merge_cal_com_event.professional_id, read ->> 'uid')
  on conflict on constraint cal_com_bookings_once do nothing;

  if read ->> 'kind' = 'no_show' then
    update private.cal_com_bookings as b
    set is_no_show = (read ->> 'is_no_show')::boolean, no_show_at = v_created_at
    where b.professional_id = merge_cal_com_event.professional_id and b.uid = read ->> 'uid'
      and (b.no_show_at is null or (b.no_show_at, b.is_no_show) <= (v_created_at, (read ->> 'is_no_show')::boolean));
    return;
  end if;

  update private.cal_com_bookings as b
  set rescheduled_from = coalesce(b.rescheduled_from, read ->> 'rescheduled_from')
  where b.professional_id = merge_cal_com_event.professional_id and b.uid = read ->> 'uid';
  if read ->> 'state' = 'cancelled' then
    update private.cal_com_bookings as b
    set state = 'cancelled', cancel_reason = coalesce(read ->> 'reason', b.cancel_reason)
    where b.professional_id = merge_cal_com_event.professional_id and b.uid = read ->> 'uid';
  else
    update private.cal_com_bookings as b
    set state = read ->> 'state'
    where b.professional_id = merge_cal_com_event.professional_id and b.uid = read ->> 'uid'
      and b.state not in ('confirmed', 'cancelled');
    update private.cal_com_bookings as b
    set facts_at = v_created_at,
      facts_trigger = v_trigger,
      starts_at = (read ->> 'starts_at')::timestamptz,
      ends_at = (read ->> 'ends_at')::timestamptz,
      details = read -> 'details'
    where b.professional_id = merge_cal_com_event.professional_id and b.uid = read ->> 'uid'
      and b.state <> 'cancelled'
      and (b.facts_at is null or (b.facts_at, b.facts_trigger) <= (v_created_at, v_trigger));
  end if;
end;
$$;
comment on function private.merge_cal_com_event(uuid, jsonb) is 'Merges what read_cal_com_event gave into the booking''s row.';
revoke all on function private.merge_cal_com_event(uuid, jsonb) from public, anon, authenticated, service_role;
