-- A provider says that a calendar has changed: it is read now, or as soon as it may be read again.
--
-- Called by notice_calendar_changes. A reading that waits will see the change; one that runs may have passed it, so another
-- follows. A calendar whose readings fail keeps its pause. Locks: the row of private.calendar_pulls, so that two messages
-- at once make one reading.

create or replace function private.hurry_calendar_pull(connection_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_pull private.calendar_pulls;
  v_next_at timestamptz;
  v_states text[];
begin
  select p.* into v_pull
  from private.calendar_pulls as p
  where p.connection_id = hurry_calendar_pull.connection_id
  for no key update;
  if not found or v_pull.failures > 0 then
    return;
  end if;
  select array_agg(j.state) into v_states
  from private.outbox_jobs as j
  where j.ordering_key = 'pull:' || v_pull.connection_id and j.state in ('pending', 'running');
  if 'pending' = any (v_states) then
    return;
  end if;
  select greatest(private.clock(), v_pull.queued_at + make_interval(secs => s.push_seconds)) into v_next_at
  from private.calendar_settings as s;
  if v_states is null and v_next_at <= private.clock() then
    perform private.queue_calendar_pulls(array[v_pull.connection_id]);
  elsif v_next_at < v_pull.next_at then
    update private.calendar_pulls as p set next_at = v_next_at where p.connection_id = v_pull.connection_id;
  end if;
end;
$$;
comment on function private.hurry_calendar_pull(uuid) is 'Queues a reading of a calendar that has changed, at most one in calendar_settings.push_seconds.';
revoke all on function private.hurry_calendar_pull(uuid) from public, anon, authenticated, service_role;
