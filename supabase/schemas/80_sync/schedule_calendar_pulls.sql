-- Queues a reading of each professional's calendar whose time has come.
--
-- Called by run_due_timers. One job at a time for each calendar: one that is due while it is being read stays due. Locks:
-- the rows in question, skipping locked ones.

create or replace function private.schedule_calendar_pulls(max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_due uuid[];
begin
  with due as (
    select p.connection_id
    from private.calendar_pulls as p
    join public.calendar_connections as c on c.id = p.connection_id and c.status = 'active'
    where p.next_at <= private.clock() and not exists (
      select 1
      from private.outbox_jobs as j
      where j.ordering_key = 'pull:' || p.connection_id and j.state in ('pending', 'running')
    )
    order by p.next_at
    limit max_rows
    for update of p skip locked
  )
  select array_agg(d.connection_id) into v_due from due as d;
  if v_due is null then
    return 0;
  end if;
  perform private.queue_calendar_pulls(v_due);
  return cardinality(v_due);
end;
$$;
comment on function private.schedule_calendar_pulls(integer) is 'Queues at most max_rows jobs of kind calendar_pull; how many calendars were due.';
revoke all on function private.schedule_calendar_pulls(integer) from public, anon, authenticated, service_role;
