-- Refuses a time that is not among the slots that free_slots would offer now.
--
-- Called by book_appointment and by rescheduling, with the professional locked, so that what is free stays free until the
-- end of the transaction. Somebody else's time is slot_taken, anything else outside_availability. Locks: none.

create or replace function private.require_free_slot(
  professional_id uuid, starts_at timestamptz, duration_minutes integer, survivor_id uuid default null,
  at_any_hour boolean default false, moved_id uuid default null
)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_day date := (
    select (require_free_slot.starts_at at time zone p.time_zone)::date
    from public.professionals as p
    where p.id = require_free_slot.professional_id
  );
begin
  -- The cheap look first: of a rush on one slot all but one are refused, and for them it is enough.
  if not private.is_engaged(professional_id, starts_at, duration_minutes, moved_id) and exists (
    select 1
    from private.free_slots(array[professional_id], v_day, v_day, duration_minutes, survivor_id, at_any_hour, moved_id) as f
    where f.slot_start = starts_at
  ) then
    return;
  end if;
  perform private.raise_error(case when exists (
    select 1
    from private.free_slots(array[professional_id], v_day, v_day, duration_minutes, survivor_id, at_any_hour, moved_id, true) as f
    where f.slot_start = starts_at
  ) then 'slot_taken' else 'outside_availability' end);
end;
$$;
comment on function private.require_free_slot(uuid, timestamptz, integer, uuid, boolean, uuid) is 'Raises slot_taken or outside_availability unless the slot is free.';
revoke all on function private.require_free_slot(uuid, timestamptz, integer, uuid, boolean, uuid) from public, anon, authenticated, service_role;
