-- Stores a connected calendar with its encrypted credentials, and queues what should stand in it.
--
-- Called by the Edge Function `api` with the service key, after it has verified who the user is, checked the address and
-- encrypted the credentials. Connecting the same calendar again renews it, and ends a cleaning that still goes on; another
-- account of the same provider replaces the one before. Definer: credentials are private.

create or replace function private.store_calendar_connection(
  user_id uuid, provider text, account_label text, calendar_id text, credentials text
)
returns public.calendar_connections
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_connection public.calendar_connections;
  v_retired private.calendar_retirements;
  v_run_at timestamptz := private.clock();
  v_halted bigint[];
begin
  perform private.require_service_role();
  if not exists (select 1 from public.profiles as p where p.id = store_calendar_connection.user_id) then
    perform private.raise_error('not_found');
  elsif provider is null or provider not in ('google', 'microsoft', 'caldav')
    or account_label is null or not private.is_clean_text(account_label, 200)
    or calendar_id is null or not private.is_clean_text(calendar_id, 1000)
  then
    perform private.raise_error('invalid_input', 'provider, account_label or calendar_id');
  elsif credentials is null or length(credentials) > 20000
    or credentials !~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{22,}$'
  then
    perform private.raise_error('invalid_input', 'credentials: not a ciphertext');
  end if;
  -- What runs with the credentials of before loses its lease, or its failure would end what is renewed here; it is done
  -- again when it can have nothing under way any more, which leased_until goes on telling. Locked before the connection and
  -- in the order of the ids, as by whoever settles.
  v_halted := array(
    select j.id
    from private.outbox_jobs as j
    where j.kind in ('calendar_event', 'calendar_pull') and j.state = 'running' and j.connection_id = (
      select c.id
      from public.calendar_connections as c
      where c.user_id = store_calendar_connection.user_id and c.provider::text = store_calendar_connection.provider
        and c.calendar_id = store_calendar_connection.calendar_id
    )
    order by j.id
    for no key update
  );
  update private.outbox_jobs as j
  set state = 'pending', lease_token = null, run_at = j.leased_until
  where j.id = any (v_halted);
  select greatest(v_run_at, max(j.run_at)) into v_run_at from private.outbox_jobs as j where j.id = any (v_halted);
  delete from public.calendar_connections as c
  where c.user_id = store_calendar_connection.user_id and c.provider::text = store_calendar_connection.provider
    and c.calendar_id = store_calendar_connection.calendar_id and c.provider <> 'caldav'
    and c.account_label <> store_calendar_connection.account_label;
  insert into public.calendar_connections as c (user_id, provider, account_label, calendar_id)
  values (
    store_calendar_connection.user_id, store_calendar_connection.provider::public.calendar_provider,
    store_calendar_connection.account_label, store_calendar_connection.calendar_id
  )
  on conflict on constraint calendar_connections_once do update
  set account_label = excluded.account_label, status = 'active', last_error = null
  returning c.* into v_connection;
  insert into private.calendar_credentials as k (connection_id, ciphertext)
  values (v_connection.id, credentials)
  on conflict (connection_id) do update
  set ciphertext = excluded.ciphertext, refresh_lease = null, refresh_leased_until = null, updated_at = now();
  insert into private.calendar_pulls (connection_id, next_at)
  select v_connection.id, private.clock() from public.professionals as p where p.id = v_connection.user_id
  on conflict (connection_id) do update set cursor = null, failures = 0, next_at = excluded.next_at;

  for v_retired in
    select r.*
    from private.calendar_retirements as r
    where r.user_id = v_connection.user_id and r.provider = v_connection.provider
      and r.calendar_id = v_connection.calendar_id and r.account_label = v_connection.account_label
  loop
    insert into public.calendar_events (appointment_id, connection_id, provider, external_event_id)
    select a.appointment_id, v_connection.id, v_connection.provider, e.event ->> 'external_event_id'
    from jsonb_array_elements(v_retired.events) as e (event)
    join public.appointments as a on a.appointment_id = (e.event ->> 'appointment_id')::uuid
    on conflict do nothing;
    -- The next reading stops what the cleaning has not: a token that nobody knows is believed of nobody.
    insert into private.calendar_channels (id, connection_id, resource_id)
    select (n.channel ->> 'channel_id')::uuid, v_connection.id, n.channel ->> 'resource_id'
    from jsonb_array_elements(v_retired.channels) as n (channel)
    on conflict do nothing;
    -- The worker that cleans loses its lease with the row; what it has under way ends before anything is written.
    with cancelled as (
      delete from private.outbox_jobs as j where j.id = v_retired.job_id returning j.leased_until
    )
    select greatest(v_run_at, max(c.leased_until)) into v_run_at from cancelled as c;
  end loop;

  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, connection_id, looks_again, run_at)
  select 'calendar_event',
    'calendar:' || a.appointment_id || ':' || v_connection.id || ':' || a.sequence || ':connected:' || gen_random_uuid(),
    'calendar:' || a.appointment_id || ':' || v_connection.id, a.appointment_id, v_connection.id, a.status = 'cancelled', v_run_at
  from public.appointments as a
  where store_calendar_connection.user_id in (a.professional_id, a.survivor_id)
    and (
      (a.status in ('requested', 'confirmed') and a.appointment_date > private.clock())
      -- What changed while the calendar was out of reach.
      or (a.status = 'cancelled' and exists (
        select 1
        from public.calendar_events as e
        where e.appointment_id = a.appointment_id and e.connection_id = v_connection.id and e.sync_status <> 'removed'
        union all
        -- A worker may have died after it wrote and before it could say so.
        select 1
        from private.outbox_jobs as j
        where j.appointment_id = a.appointment_id and j.connection_id = v_connection.id and j.kind = 'calendar_event'
          and not exists (
            select 1
            from public.calendar_events as e
            where e.appointment_id = j.appointment_id and e.connection_id = j.connection_id
          )
        union all
        -- A second look found the calendar out of reach, and nobody has looked since.
        select 1
        from private.outbox_jobs as j
        where j.appointment_id = a.appointment_id and j.connection_id = v_connection.id and j.looks_again
          and j.state in ('done', 'dead') and j.result ->> 'outcome' is distinct from 'removed'
          and not exists (
            select 1
            from private.outbox_jobs as later
            where later.appointment_id = j.appointment_id and later.connection_id = j.connection_id and later.id > j.id
              and later.looks_again and later.result ->> 'outcome' = 'removed'
          )
      ))
    );
  return v_connection;
end;
$$;
comment on function private.store_calendar_connection(uuid, text, text, text, text) is 'Definer: credentials are private. The caller must be the Edge Function with the service key.';
revoke all on function private.store_calendar_connection(uuid, text, text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.store_calendar_connection(uuid, text, text, text, text) to service_role;

create or replace function public.store_calendar_connection(
  user_id uuid, provider text, account_label text, calendar_id text, credentials text
)
returns public.calendar_connections
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.store_calendar_connection(user_id, provider, account_label, calendar_id, credentials);
$$;
comment on function public.store_calendar_connection(uuid, text, text, text, text) is
  'Edge Function: stores a calendar with encrypted credentials. → the connection. Errors: not_found, invalid_input.';
revoke all on function public.store_calendar_connection(uuid, text, text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.store_calendar_connection(uuid, text, text, text, text) to service_role;
