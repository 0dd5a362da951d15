-- Remembers what now stands in a calendar, in the transaction that settles the job.
--
-- Called by complete_job. A result of an older sequence never overwrites a newer one. `recreated`: the owner had deleted the
-- event by hand; `dismissed`: they did so again, and it stays away. Locks: the mapping row.

create or replace function private.record_calendar_result(appointment_id uuid, connection_id uuid, result jsonb)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into public.calendar_events as e (
    appointment_id, connection_id, provider, external_event_id, etag, synced_sequence, sync_status, synced_at, deletions
  )
  select a.appointment_id, c.id, c.provider, result ->> 'external_event_id', result ->> 'etag',
    coalesce((result ->> 'sequence')::integer, a.sequence),
    result ->> 'outcome', private.clock(), coalesce((result ->> 'recreated')::boolean, false)::integer
  from public.calendar_connections as c
  join public.appointments as a on a.appointment_id = record_calendar_result.appointment_id
  where c.id = record_calendar_result.connection_id and result ->> 'outcome' in ('synced', 'removed', 'dismissed')
  on conflict on constraint calendar_events_pkey do update
  set external_event_id = coalesce(excluded.external_event_id, e.external_event_id), etag = excluded.etag,
    synced_sequence = excluded.synced_sequence, sync_status = excluded.sync_status, last_error = null,
    synced_at = excluded.synced_at, deletions = e.deletions + excluded.deletions
  where coalesce(e.synced_sequence, 0) <= excluded.synced_sequence;

  update public.calendar_connections as c
  set last_synced_at = private.clock(), last_error = null
  where c.id = record_calendar_result.connection_id and result ->> 'outcome' in ('synced', 'removed', 'dismissed');
$$;
comment on function private.record_calendar_result(uuid, uuid, jsonb) is 'Writes calendar_events from {outcome: synced | removed | dismissed, external_event_id, etag, sequence, recreated}.';
revoke all on function private.record_calendar_result(uuid, uuid, jsonb) from public, anon, authenticated, service_role;
