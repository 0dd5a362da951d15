-- From where a professional's calendar has to be read, over which time, what in it is ours, and who tells us of changes.
--
-- Called by job_context. Without a cursor all of the window is read; so it is once a day, because the window moves.
-- Locks: none.

create or replace function private.calendar_pull_context(connection_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'state', 'due',
    'kind', 'calendar_pull',
    'connection', jsonb_build_object(
      'id', c.id, 'user_id', c.user_id, 'provider', c.provider, 'calendar_id', c.calendar_id,
      'credentials', k.ciphertext, 'time_zone', p.time_zone
    ),
    'pull', jsonb_build_object(
      'as_of', private.clock(),
      'from', date_trunc('day', private.clock() - interval '1 day'),
      'until', date_trunc('day', private.clock() + make_interval(days => coalesce(s.horizon_days, 90) + 8)),
      'cursor', case when u.full_at > private.clock() - make_interval(hours => x.full_pull_hours) then u.cursor end
    ),
    'own', (
      select coalesce(
        jsonb_agg(jsonb_build_object('appointment_id', e.appointment_id, 'external_event_id', e.external_event_id)), '[]'
      )
      from public.calendar_events as e
      join public.appointments as a on a.appointment_id = e.appointment_id
      where e.connection_id = c.id and e.external_event_id is not null
        and a.appointment_date > private.clock() - interval '3 days'
    ),
    'channels', (
      select coalesce(
        jsonb_agg(jsonb_build_object('channel_id', h.id, 'resource_id', h.resource_id, 'is_current', h.is_newest and h.is_young)), '[]'
      )
      from (
        select n.id, n.resource_id, n.id = first_value(n.id) over (order by n.expires_at desc nulls last, n.id) as is_newest,
          -- The last quarter of its time is for opening the next one.
          coalesce(n.expires_at - (n.expires_at - n.created_at) / 4 > private.clock(), false) as is_young
        from private.calendar_channels as n
        where n.connection_id = c.id
      ) as h
    )
  )
  from public.calendar_connections as c
  join private.calendar_credentials as k on k.connection_id = c.id
  join private.calendar_pulls as u on u.connection_id = c.id
  join public.professionals as p on p.id = c.user_id
  left join public.scheduling_preferences as s on s.professional_id = p.id
  cross join private.calendar_settings as x
  where c.id = calendar_pull_context.connection_id and c.status = 'active';
$$;
comment on function private.calendar_pull_context(uuid) is 'jsonb {state: due, connection, pull: {as_of, from, until, cursor}, own, channels}, or null when nothing is to be read.';
revoke all on function private.calendar_pull_context(uuid) from public, anon, authenticated, service_role;
