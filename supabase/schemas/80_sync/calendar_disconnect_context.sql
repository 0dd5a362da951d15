-- What has to go from a calendar that was disconnected.
--
-- Called by job_context. Null when the calendar has been connected again. Locks: none.

create or replace function private.calendar_disconnect_context(job_id bigint)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'state', 'due',
    'kind', 'calendar_disconnect',
    'connection', jsonb_build_object(
      'id', null, 'user_id', r.user_id, 'provider', r.provider, 'calendar_id', r.calendar_id, 'credentials', r.ciphertext
    ),
    'events', r.events,
    'channels', r.channels
  )
  from private.calendar_retirements as r
  where r.job_id = calendar_disconnect_context.job_id;
$$;
comment on function private.calendar_disconnect_context(bigint) is 'jsonb {state: due, connection, events, channels}, or null when nothing is to be done.';
revoke all on function private.calendar_disconnect_context(bigint) from public, anon, authenticated, service_role;
