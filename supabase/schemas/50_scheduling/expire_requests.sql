-- Requests that nobody confirmed in time are cancelled, and their time is free again.
--
-- Called by run_due_timers. Nobody cancelled them, so cancelled_by stays empty; the trigger tells both sides. Locks: the
-- appointments, skipping locked ones: whoever holds one is just deciding it.

create or replace function private.expire_requests(max_requests integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  with due as (
    select a.appointment_id
    from public.appointments as a
    where a.status = 'requested' and a.held_until <= private.clock()
    order by a.held_until
    limit max_requests
    for no key update skip locked
  ),
  expired as (
    update public.appointments as a
    set status = 'cancelled'
    from due
    where a.appointment_id = due.appointment_id
    returning a.appointment_id
  )
  select count(*) into v_count from expired;
  return v_count;
end;
$$;
comment on function private.expire_requests(integer) is 'Cancels at most max_requests requests whose hold has ended; gives their number.';
revoke all on function private.expire_requests(integer) from public, anon, authenticated, service_role;
