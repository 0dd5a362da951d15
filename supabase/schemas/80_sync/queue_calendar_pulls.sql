-- Queues a reading of each of some calendars, none of which has one waiting or under way.
--
-- Called by schedule_calendar_pulls and hurry_calendar_pull, which hold the rows of private.calendar_pulls. The job before it
-- is taken away, so that reading every few minutes fills no table. Locks: those rows.

create or replace function private.queue_calendar_pulls(connection_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update private.calendar_pulls as p
  set queued_at = private.clock(),
    next_at = private.clock() + make_interval(mins => case
      when exists (select 1 from private.calendar_channels as n where n.connection_id = p.connection_id and n.expires_at > private.clock())
      then s.pushed_pull_minutes
      else s.pull_minutes
    end)
  from private.calendar_settings as s
  where p.connection_id = any (queue_calendar_pulls.connection_ids);
  delete from private.outbox_jobs as j
  where j.connection_id = any (queue_calendar_pulls.connection_ids) and j.kind = 'calendar_pull' and j.state = 'done';
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, priority, connection_id, run_at)
  select 'calendar_pull', 'pull:' || d.id || ':' || gen_random_uuid(), 'pull:' || d.id, 70, d.id, private.clock()
  from unnest(queue_calendar_pulls.connection_ids) as d (id);
end;
$$;
comment on function private.queue_calendar_pulls(uuid[]) is 'Jobs of kind calendar_pull, and when the next ones are due.';
revoke all on function private.queue_calendar_pulls(uuid[]) from public, anon, authenticated, service_role;
