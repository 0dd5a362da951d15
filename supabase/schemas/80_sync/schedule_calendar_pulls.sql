-- Queues a reading of each professional's calendar whose time has come.
--
-- Called by run_due_timers. One job at a time for each calendar; the one before it is taken away when it is done, so that
-- reading every few minutes fills no table. Locks: the rows in question, skipping locked ones.

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
    where p.next_at <= private.clock()
    order by p.next_at
    limit max_rows
    for update of p skip locked
  ),
  moved as (
    update private.calendar_pulls as p
    set next_at = private.clock() + make_interval(mins => s.pull_minutes)
    from private.calendar_settings as s
    where p.connection_id in (select d.connection_id from due as d)
    returning p.connection_id
  )
  select array_agg(m.connection_id) into v_due from moved as m;
  if v_due is null then
    return 0;
  end if;
  delete from private.outbox_jobs as j where j.connection_id = any (v_due) and j.kind = 'calendar_pull' and j.state = 'done';
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, priority, connection_id, run_at)
  select 'calendar_pull', 'pull:' || d.id || ':' || gen_random_uuid(), 'pull:' || d.id, 70, d.id, private.clock()
  from unnest(v_due) as d (id)
  where not exists (
    select 1
    from private.outbox_jobs as j
    where j.connection_id = d.id and j.kind = 'calendar_pull' and j.state in ('pending', 'running')
  );
  return cardinality(v_due);
end;
$$;
comment on function private.schedule_calendar_pulls(integer) is 'Queues at most max_rows jobs of kind calendar_pull; how many calendars were due.';
revoke all on function private.schedule_calendar_pulls(integer) from public, anon, authenticated, service_role;
