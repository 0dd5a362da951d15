-- What the worker has to take out of a calendar when the appointment's row is gone.
--
-- Called by job_context. Of the event nothing is known any more but its name, which is all that a deletion needs; the
-- times are there because the shape of the context wants some. Locks: none.

create or replace function private.tombstone_context(tombstone_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'state', 'due',
      'kind', 'calendar_event',
      'operation', 'delete',
      'connection', jsonb_build_object(
        'id', c.id, 'user_id', c.user_id, 'provider', c.provider, 'calendar_id', c.calendar_id,
        'detail_level', c.detail_level, 'credentials', k.ciphertext
      ),
      'event', jsonb_build_object(
        'appointment_id', t.appointment_id, 'uid', t.appointment_id || '@sauti', 'starts_at', t.created_at,
        'ends_at', t.created_at, 'duration_minutes', 0, 'status', 'cancelled', 'sequence', 0, 'time_zone', 'UTC',
        'meeting_url', null, 'location', null, 'case_code', null, 'created_at', t.created_at, 'revised_at', t.created_at
      ),
      'mapping', case when t.external_event_id is not null then jsonb_build_object(
        'external_event_id', t.external_event_id, 'etag', t.etag, 'synced_sequence', 0
      ) end
    )
    from private.calendar_tombstones as t
    join public.calendar_connections as c on c.id = t.connection_id and c.status = 'active'
    join private.calendar_credentials as k on k.connection_id = c.id
    where t.id = tombstone_context.tombstone_id
  );
end;
$$;
comment on function private.tombstone_context(uuid) is 'jsonb in the shape of calendar_event_context, operation delete; null when there is nothing to be done.';
revoke all on function private.tombstone_context(uuid) from public, anon, authenticated, service_role;
