-- The baseline of supabase/schemas/80_sync: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/80_sync/tables.sql
-- Connected calendars: which, with what credentials (encrypted, private), what stands in them, and when they are busy.

create table public.calendar_connections (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.profiles (id) on delete cascade,
  provider public.calendar_provider not null,
  account_label text not null,
  calendar_id text not null,
  status text not null default 'active',
  detail_level text not null default 'neutral',
  last_synced_at timestamptz,
  last_error text,
  created_at timestamptz not null default now(),
  constraint calendar_connections_once unique (user_id, provider, calendar_id),
  constraint calendar_connections_account_label_clean check (private.is_clean_text(account_label, 200)),
  constraint calendar_connections_calendar_id_clean check (private.is_clean_text(calendar_id, 1000)),
  constraint calendar_connections_status_known check (status in ('active', 'needs_reauth', 'disabled')),
  constraint calendar_connections_detail_level_known check (detail_level in ('neutral', 'full')),
  constraint calendar_connections_last_error_symbol check (last_error ~ '^[a-z0-9_]{2,80}$')
);
comment on table public.calendar_connections is 'A calendar that a person has connected. Own rows. Its credentials are in private.calendar_credentials.';
comment on column public.calendar_connections.id is 'Key.';
comment on column public.calendar_connections.user_id is 'Whose calendar.';
comment on column public.calendar_connections.provider is 'google, microsoft or caldav.';
comment on column public.calendar_connections.account_label is 'For the owner to recognise it.';
comment on column public.calendar_connections.calendar_id is 'The provider''s name of the calendar; for caldav the address of the collection.';
comment on column public.calendar_connections.status is 'active, needs_reauth or disabled.';
comment on column public.calendar_connections.detail_level is 'neutral (the default) or full; what events say.';
comment on column public.calendar_connections.last_synced_at is 'Last success.';
comment on column public.calendar_connections.last_error is 'Symbol of the last failure; null after a success.';
comment on column public.calendar_connections.created_at is 'When it was connected.';

create table private.calendar_credentials (
  connection_id uuid primary key references public.calendar_connections (id) on delete cascade,
  ciphertext text not null check (
    length(ciphertext) <= 20000 and ciphertext ~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{22,}$'
  ),
  refresh_lease uuid,
  refresh_leased_until timestamptz,
  updated_at timestamptz not null default now()
);
comment on table private.calendar_credentials is 'AES-256-GCM ciphertexts, made outside the database under SAUTI_TOKEN_KEYS; the database never holds a key.';
comment on column private.calendar_credentials.connection_id is 'The connection.';
comment on column private.calendar_credentials.ciphertext is 'v1.<key id>.<nonce>.<ciphertext and tag>, base64url; bound to <user id>:<provider>.';
comment on column private.calendar_credentials.refresh_lease is 'Held by the one worker that spends the refresh token.';
comment on column private.calendar_credentials.refresh_leased_until is 'Then another may spend it.';
comment on column private.calendar_credentials.updated_at is 'When it was stored.';

create table public.calendar_events (
  appointment_id uuid not null references public.appointments (appointment_id) on delete cascade,
  connection_id uuid not null references public.calendar_connections (id) on delete cascade,
  provider public.calendar_provider not null,
  external_event_id text,
  etag text,
  synced_sequence integer,
  sync_status text not null default 'pending',
  synced_at timestamptz,
  deletions smallint not null default 0,
  flagged_sequence integer,
  last_error text,
  created_at timestamptz not null default now(),
  primary key (appointment_id, connection_id),
  constraint calendar_events_external_event_id_length check (length(external_event_id) <= 1024),
  constraint calendar_events_etag_length check (length(etag) <= 1024),
  constraint calendar_events_sync_status_known check (sync_status in ('pending', 'synced', 'removed', 'failed', 'dismissed')),
  constraint calendar_events_last_error_symbol check (last_error ~ '^[a-z0-9_]{2,80}$')
);
create index calendar_events_connection_id_idx on public.calendar_events (connection_id);
comment on table public.calendar_events is 'What stands in a connected calendar for an appointment. The owner of the connection reads it.';
comment on column public.calendar_events.appointment_id is 'The appointment.';
comment on column public.calendar_events.connection_id is 'The calendar.';
comment on column public.calendar_events.provider is 'Copied from the connection.';
comment on column public.calendar_events.external_event_id is 'The provider''s name of the event.';
comment on column public.calendar_events.etag is 'The provider''s version of it.';
comment on column public.calendar_events.synced_sequence is 'The appointment''s sequence that stands there.';
comment on column public.calendar_events.sync_status is 'pending, synced, removed, failed, or dismissed: its owner has deleted it twice and it stays away.';
comment on column public.calendar_events.synced_at is 'When the worker last reported what stands there.';
comment on column public.calendar_events.deletions is 'How often its owner has deleted it by hand; it is made again once.';
comment on column public.calendar_events.flagged_sequence is 'The sequence for which its owner was told that they had moved it.';
comment on column public.calendar_events.last_error is 'Symbol of the last failure.';
comment on column public.calendar_events.created_at is 'When the row was made.';

create table public.calendar_busy (
  id bigint generated always as identity primary key,
  connection_id uuid not null references public.calendar_connections (id) on delete cascade,
  professional_id uuid not null references public.professionals (id) on delete cascade,
  during tstzrange not null,
  source text,
  created_at timestamptz not null default now(),
  constraint calendar_busy_source_digest check (source ~ '^[0-9a-f]{32}$'),
  constraint calendar_busy_during_whole check (not isempty(during) and not lower_inf(during) and not upper_inf(during))
);
create index calendar_busy_connection_id_idx on public.calendar_busy (connection_id, source);
create index calendar_busy_professional_id_idx on public.calendar_busy (professional_id);
create index calendar_busy_during_idx on public.calendar_busy using gist (professional_id, during);
comment on table public.calendar_busy is 'Times at which a professional''s other calendars are busy. Times only; the professional alone reads them.';
comment on column public.calendar_busy.id is 'Key.';
comment on column public.calendar_busy.connection_id is 'Which calendar.';
comment on column public.calendar_busy.professional_id is 'Whose time.';
comment on column public.calendar_busy.during is 'From when until when.';
comment on column public.calendar_busy.source is 'Digest of the event that takes the time, so that a change of it replaces its rows; tells nobody anything.';
comment on column public.calendar_busy.created_at is 'When it was read.';

alter table private.outbox_jobs
  add constraint outbox_jobs_connection_id_fkey foreign key (connection_id)
  references public.calendar_connections (id) on delete cascade;

create table private.calendar_settings (
  id boolean primary key default true check (id),
  pull_minutes integer not null default 5 check (pull_minutes between 1 and 1440),
  pushed_pull_minutes integer not null default 30 check (pushed_pull_minutes between 1 and 1440),
  push_seconds integer not null default 10 check (push_seconds between 1 and 3600),
  full_pull_hours integer not null default 24 check (full_pull_hours between 1 and 720),
  oauth_minutes integer not null default 10 check (oauth_minutes between 1 and 60),
  doubt_seconds integer not null default 60 check (doubt_seconds between 1 and 3600)
);
comment on table private.calendar_settings is 'One row: how often calendars are read.';
comment on column private.calendar_settings.id is 'Always true, so that there is one row.';
comment on column private.calendar_settings.pull_minutes is 'Between two readings of a professional''s calendar.';
comment on column private.calendar_settings.pushed_pull_minutes is 'The same while the provider tells us of changes: news can be lost.';
comment on column private.calendar_settings.push_seconds is 'However often a provider tells of changes, a calendar is read once in so many seconds.';
comment on column private.calendar_settings.full_pull_hours is 'After so many hours all of it is read again: the horizon moves, and recurring events with it.';
comment on column private.calendar_settings.oauth_minutes is 'How long a person has for the consent page.';
comment on column private.calendar_settings.doubt_seconds is 'A request that nobody has answered may still take effect for so long.';
insert into private.calendar_settings default values;

create table private.calendar_pulls (
  connection_id uuid primary key references public.calendar_connections (id) on delete cascade,
  cursor text check (length(cursor) <= 1048576),
  next_at timestamptz not null,
  full_at timestamptz,
  queued_at timestamptz,
  failures integer not null default 0
);
create index calendar_pulls_next_at_idx on private.calendar_pulls (next_at);
comment on table private.calendar_pulls is 'How far each professional''s calendar has been read.';
comment on column private.calendar_pulls.connection_id is 'The calendar.';
comment on column private.calendar_pulls.cursor is 'The provider''s sync or delta token, or the entity tags of a calendar that knows none; null: read all of it.';
comment on column private.calendar_pulls.next_at is 'Not before.';
comment on column private.calendar_pulls.full_at is 'When all of it was last read.';
comment on column private.calendar_pulls.queued_at is 'When a reading was last queued.';
comment on column private.calendar_pulls.failures is 'In a row; each doubles the wait.';

create table private.calendar_channels (
  id uuid primary key default gen_random_uuid(),
  connection_id uuid not null references public.calendar_connections (id) on delete cascade,
  token_hash text check (token_hash ~ '^[0-9a-f]{64}$'),
  resource_id text check (length(resource_id) between 1 and 500),
  last_message bigint not null default 0,
  expires_at timestamptz,
  created_at timestamptz not null default private.clock()
);
create index calendar_channels_connection_id_idx on private.calendar_channels (connection_id);
comment on table private.calendar_channels is 'Channels by which a provider tells that a calendar has changed. Made by the worker; the provider is told the token.';
comment on column private.calendar_channels.id is 'Key; the channel''s name at the provider.';
comment on column private.calendar_channels.connection_id is 'The calendar.';
comment on column private.calendar_channels.token_hash is 'SHA-256 of the random token that every message has to bring; null: nothing is believed any more.';
comment on column private.calendar_channels.resource_id is 'The provider''s name of what is watched, needed to stop it; null until the provider has told it.';
comment on column private.calendar_channels.last_message is 'Number of the last message that was believed; an older one comes a second time.';
comment on column private.calendar_channels.expires_at is 'When it ends by itself; null while it is being opened, and when it only waits to be stopped.';
comment on column private.calendar_channels.created_at is 'When it was made.';

create table private.calendar_retirements (
  job_id bigint primary key references private.outbox_jobs (id) on delete cascade,
  user_id uuid not null,
  provider public.calendar_provider not null,
  account_label text not null,
  calendar_id text not null,
  ciphertext text not null,
  events jsonb not null,
  channels jsonb not null default '[]',
  created_at timestamptz not null default now()
);
create index calendar_retirements_user_id_idx on private.calendar_retirements (user_id);
comment on table private.calendar_retirements is 'What the worker needs to clean up a calendar that was disconnected. Outlives connection and person; gone when its job has ended.';
comment on column private.calendar_retirements.job_id is 'The job of kind calendar_disconnect.';
comment on column private.calendar_retirements.user_id is 'Whose it was; the ciphertext is bound to it. No foreign key: the person may be gone.';
comment on column private.calendar_retirements.provider is 'As in the connection.';
comment on column private.calendar_retirements.account_label is 'As in the connection.';
comment on column private.calendar_retirements.calendar_id is 'As in the connection.';
comment on column private.calendar_retirements.ciphertext is 'As in private.calendar_credentials.';
comment on column private.calendar_retirements.events is 'Array of {appointment_id, external_event_id}: what may stand there.';
comment on column private.calendar_retirements.channels is 'Array of {channel_id, resource_id}: what the provider still watches for us.';
comment on column private.calendar_retirements.created_at is 'When it was disconnected.';

create table private.oauth_states (
  state_hash text primary key check (state_hash ~ '^[0-9a-f]{64}$'),
  user_id uuid not null references public.profiles (id) on delete cascade,
  provider public.calendar_provider not null check (provider in ('google', 'microsoft')),
  verifier text not null check (
    length(verifier) <= 2000 and verifier ~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{22,}$'
  ),
  expires_at timestamptz not null
);
create index oauth_states_user_id_idx on private.oauth_states (user_id);
create index oauth_states_expires_at_idx on private.oauth_states (expires_at);
comment on table private.oauth_states is 'People who are at a provider''s consent page. A row is taken out by its first use.';
comment on column private.oauth_states.state_hash is 'SHA-256 of the state, which only the person''s browser holds.';
comment on column private.oauth_states.user_id is 'Who began.';
comment on column private.oauth_states.provider is 'google or microsoft.';
comment on column private.oauth_states.verifier is 'The PKCE verifier, encrypted under SAUTI_TOKEN_KEYS.';
comment on column private.oauth_states.expires_at is 'Then it is worth nothing.';

-- supabase/schemas/80_sync/begin_calendar_channel.sql
-- A worker is about to ask a provider to tell it of changes: the channel is known before the provider's first message.
--
-- Called by the worker under the lease of a reading; readings of one calendar never overlap, so neither do openings. Channels
-- that were begun and came to nothing go. Definer: channels are private. Locks: the job, the channels that go.

create or replace function private.begin_calendar_channel(job_id bigint, lease_token uuid, token_hash text)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job private.outbox_jobs;
  v_channel_id uuid;
begin
  v_job := private.leased_job(job_id, lease_token);
  if v_job.kind <> 'calendar_pull' or token_hash is null or token_hash !~ '^[0-9a-f]{64}$' then
    perform private.raise_error('invalid_input', 'token_hash, or a job that is no reading');
  end if;
  delete from private.calendar_channels as n
  where n.connection_id = v_job.connection_id and n.resource_id is null and n.created_at < private.clock() - interval '1 hour';
  insert into private.calendar_channels (connection_id, token_hash)
  values (v_job.connection_id, begin_calendar_channel.token_hash)
  returning id into v_channel_id;
  return v_channel_id;
end;
$$;
comment on function private.begin_calendar_channel(bigint, uuid, text) is 'Definer: channels are private. The caller must be the worker and hold the lease.';
revoke all on function private.begin_calendar_channel(bigint, uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.begin_calendar_channel(bigint, uuid, text) to service_role;

create or replace function public.begin_calendar_channel(job_id bigint, lease_token uuid, token_hash text)
returns uuid
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.begin_calendar_channel(job_id, lease_token, token_hash);
$$;
comment on function public.begin_calendar_channel(bigint, uuid, text) is
  'Worker: makes a channel for the calendar that its job reads, with the SHA-256 of the channel''s token. → the channel''s id. Errors: invalid_transition (stale lease), invalid_input.';
revoke all on function public.begin_calendar_channel(bigint, uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_calendar_channel(bigint, uuid, text) to service_role;

-- supabase/schemas/80_sync/begin_calendar_oauth.sql
-- Remembers that a person went to a provider's consent page, so that only they come back from it, once.
--
-- Called by the Edge Function `api` with the service key, after it has verified who the user is. Definer: the states are
-- private. Locks: the person's row, so that the limit holds.

create or replace function private.begin_calendar_oauth(user_id uuid, provider text, state_hash text, verifier text)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  if provider is null or provider not in ('google', 'microsoft')
    or state_hash is null or state_hash !~ '^[0-9a-f]{64}$'
    or verifier is null or length(verifier) > 2000
    or verifier !~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{22,}$'
  then
    perform private.raise_error('invalid_input', 'provider, state_hash or verifier');
  end if;
  perform 1 from public.profiles as p where p.id = begin_calendar_oauth.user_id for no key update;
  if not found then
    perform private.raise_error('not_found');
  end if;
  delete from private.oauth_states as s where s.expires_at <= private.clock();
  if (select count(*) from private.oauth_states as s where s.user_id = begin_calendar_oauth.user_id) >= 10 then
    perform private.raise_error('too_many_requests');
  end if;
  insert into private.oauth_states (state_hash, user_id, provider, verifier, expires_at)
  select begin_calendar_oauth.state_hash, begin_calendar_oauth.user_id,
    begin_calendar_oauth.provider::public.calendar_provider, begin_calendar_oauth.verifier,
    private.clock() + make_interval(mins => s.oauth_minutes)
  from private.calendar_settings as s;
end;
$$;
comment on function private.begin_calendar_oauth(uuid, text, text, text) is 'Definer: the states are private. The caller must be the Edge Function with the service key.';
revoke all on function private.begin_calendar_oauth(uuid, text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.begin_calendar_oauth(uuid, text, text, text) to service_role;

create or replace function public.begin_calendar_oauth(user_id uuid, provider text, state_hash text, verifier text)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.begin_calendar_oauth(user_id, provider, state_hash, verifier);
$$;
comment on function public.begin_calendar_oauth(uuid, text, text, text) is
  'Edge Function: keeps the hash of an OAuth state and the encrypted PKCE verifier, at most 10 a person. Errors: not_found, invalid_input, too_many_requests.';
revoke all on function public.begin_calendar_oauth(uuid, text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_calendar_oauth(uuid, text, text, text) to service_role;

-- supabase/schemas/80_sync/begin_token_refresh.sql
-- One worker at a time may spend a refresh token; the others wait for what it brings.
--
-- Called by the worker when an access token is about to end or was refused. `seen` is the ciphertext it holds: when
-- another one is stored by now, that is the answer. Definer: credentials are private. Locks: the credentials.

create or replace function private.begin_token_refresh(connection_id uuid, seen text, lease_seconds integer)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_credentials private.calendar_credentials;
  v_lease uuid := gen_random_uuid();
begin
  perform private.require_service_role();
  if seen is null or lease_seconds is null or lease_seconds not between 1 and 300 then
    perform private.raise_error('invalid_input', 'seen, or lease_seconds: 1 to 300.');
  end if;
  select k.* into v_credentials
  from private.calendar_credentials as k
  where k.connection_id = begin_token_refresh.connection_id
  for no key update;
  if not found or not exists (
    select 1 from public.calendar_connections as c where c.id = begin_token_refresh.connection_id and c.status = 'active'
  ) then
    return '{"state": "gone"}'::jsonb;
  elsif v_credentials.ciphertext <> seen then
    return jsonb_build_object('state', 'fresh', 'credentials', v_credentials.ciphertext);
  elsif v_credentials.refresh_leased_until > private.clock() then
    return '{"state": "busy"}'::jsonb;
  end if;
  update private.calendar_credentials as k
  set refresh_lease = v_lease, refresh_leased_until = private.clock() + make_interval(secs => lease_seconds)
  where k.connection_id = v_credentials.connection_id;
  return jsonb_build_object('state', 'granted', 'lease', v_lease);
end;
$$;
comment on function private.begin_token_refresh(uuid, text, integer) is 'Definer: credentials are private. The caller must be the worker.';
revoke all on function private.begin_token_refresh(uuid, text, integer) from public, anon, authenticated, service_role;
grant execute on function private.begin_token_refresh(uuid, text, integer) to service_role;

create or replace function public.begin_token_refresh(connection_id uuid, seen text, lease_seconds integer)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.begin_token_refresh(connection_id, seen, lease_seconds);
$$;
comment on function public.begin_token_refresh(uuid, text, integer) is
  'Worker: asks to spend a refresh token for lease_seconds (1 to 300). → jsonb {state: granted | fresh | busy | gone, lease, credentials}. Errors: invalid_input.';
revoke all on function public.begin_token_refresh(uuid, text, integer) from public, anon, authenticated, service_role;
grant execute on function public.begin_token_refresh(uuid, text, integer) to service_role;

-- supabase/schemas/80_sync/calendar_disconnect_context.sql
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

-- supabase/schemas/80_sync/calendar_event_context.sql
-- What a calendar job has to bring about, as things are now.
--
-- Called by job_context. A live or held appointment stands in the calendar, a cancelled one does not. When the calendar
-- already shows this sequence, the job is obsolete; a later job for a newer one may have run first. An event that its
-- owner has deleted twice is left alone. To look again is to remove once more what is said to be removed, and nothing else.
-- Locks: none.

create or replace function private.calendar_event_context(appointment_id uuid, connection_id uuid, looks_again boolean default false)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_appointment public.appointments;
  v_connection public.calendar_connections;
  v_mapping public.calendar_events;
  v_owner public.profiles;
  v_operation text;
begin
  select a.* into v_appointment from public.appointments as a where a.appointment_id = calendar_event_context.appointment_id;
  select c.* into v_connection from public.calendar_connections as c where c.id = calendar_event_context.connection_id;
  select p.* into v_owner from public.profiles as p where p.id = v_connection.user_id;
  select e.* into v_mapping
  from public.calendar_events as e
  where e.appointment_id = v_appointment.appointment_id and e.connection_id = v_connection.id;
  v_operation := case v_appointment.status when 'cancelled' then 'delete' else 'upsert' end;
  if v_appointment.appointment_id is null or v_connection.id is null or v_connection.status <> 'active'
    or v_connection.user_id not in (v_appointment.professional_id, coalesce(v_appointment.survivor_id, v_appointment.professional_id))
    or v_mapping.sync_status = 'dismissed'
    or (
      v_mapping.synced_sequence >= v_appointment.sequence
      and v_mapping.sync_status = case v_operation when 'delete' then 'removed' else 'synced' end
      and not looks_again
    )
    or (looks_again and v_operation <> 'delete')
  then
    return null;
  end if;
  return jsonb_build_object(
    'state', 'due',
    'kind', 'calendar_event',
    'operation', v_operation,
    'connection', jsonb_build_object(
      'id', v_connection.id, 'user_id', v_connection.user_id, 'provider', v_connection.provider,
      'calendar_id', v_connection.calendar_id, 'detail_level', v_connection.detail_level,
      'locale', v_owner.locale,
      'time_zone', coalesce((select p.time_zone from public.professionals as p where p.id = v_owner.id), v_owner.time_zone),
      'credentials', (select k.ciphertext from private.calendar_credentials as k where k.connection_id = v_connection.id)
    ),
    'event', private.appointment_facts(v_appointment),
    'mapping', case when v_mapping.external_event_id is not null and v_mapping.sync_status <> 'removed' then jsonb_build_object(
      'external_event_id', v_mapping.external_event_id, 'etag', v_mapping.etag, 'synced_sequence', v_mapping.synced_sequence,
      'is_final', v_mapping.deletions > 0
    ) end
  );
end;
$$;
comment on function private.calendar_event_context(uuid, uuid, boolean) is 'jsonb {state: due, operation: upsert | delete, connection, event, mapping}, or null when nothing is to be done.';
revoke all on function private.calendar_event_context(uuid, uuid, boolean) from public, anon, authenticated, service_role;

-- supabase/schemas/80_sync/calendar_pull_context.sql
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

-- supabase/schemas/80_sync/clashing_appointments.sql
-- Confirmed appointments to come that meet a busy time of one calendar.
--
-- Called by store_calendar_busy before and after a reading. Locks: none.

create or replace function private.clashing_appointments(professional_id uuid, connection_id uuid)
returns uuid[]
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(array_agg(distinct a.appointment_id), '{}')
  from public.appointments as a
  join public.calendar_busy as b
    on b.professional_id = a.professional_id and b.during && private.appointment_during(a.appointment_date, a.duration_minutes)
  where a.professional_id = clashing_appointments.professional_id and a.status = 'confirmed'
    and a.appointment_date > private.clock() and b.connection_id = clashing_appointments.connection_id;
$$;
comment on function private.clashing_appointments(uuid, uuid) is 'Ids of confirmed future appointments of the professional at which the calendar is busy.';
revoke all on function private.clashing_appointments(uuid, uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/80_sync/delete_calendar_connection.sql
-- A person disconnects a calendar: its credentials, mappings and waiting jobs go with it.
--
-- Called by its owner. A trigger leaves a job behind that takes the events out and gives the access back.
-- Definer: connections are not writable directly. Locks: the connection's jobs, then the connection: in the order of a worker
-- that settles one.

create or replace function private.delete_calendar_connection(connection_id uuid)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
begin
  perform 1
  from private.outbox_jobs as j
  join public.calendar_connections as c on c.id = j.connection_id
  where c.id = delete_calendar_connection.connection_id and c.user_id = v_user_id and j.state in ('pending', 'running')
  order by j.id
  for update of j;
  delete from public.calendar_connections as c
  where c.id = delete_calendar_connection.connection_id and c.user_id = v_user_id;
  if not found then
    perform private.raise_error('not_found');
  end if;
end;
$$;
comment on function private.delete_calendar_connection(uuid) is 'Definer: connections are not writable directly. The caller must be its owner.';
revoke all on function private.delete_calendar_connection(uuid) from public, anon, authenticated, service_role;
grant execute on function private.delete_calendar_connection(uuid) to authenticated;

create or replace function public.delete_calendar_connection(connection_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  perform private.delete_calendar_connection(connection_id);
end;
$$;
comment on function public.delete_calendar_connection(uuid) is 'Owner: disconnects a calendar; the worker then removes its events, gives the access back and forgets the credentials. Errors: not_found.';
revoke all on function public.delete_calendar_connection(uuid) from public, anon, authenticated, service_role;
grant execute on function public.delete_calendar_connection(uuid) to anon, authenticated;

-- supabase/schemas/80_sync/doubtful_until.sql
-- How long what the jobs of a connection have sent may still take effect; null when none is in doubt.
--
-- Called where a calendar is emptied for good and its jobs go: by the retirement of a connection and, for one appointment,
-- by the burial of entries. A job that runs is waited for until its lease ends. Locks: none.

create or replace function private.doubtful_until(connection_id uuid, appointment_id uuid default null)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
begin
  return (
    select max(coalesce(j.leased_until, v_now)) + max(s.doubt_seconds) * interval '1 second'
    from private.outbox_jobs as j, private.calendar_settings as s
    where j.connection_id = doubtful_until.connection_id and private.is_in_doubt(j)
      and (doubtful_until.appointment_id is null or j.appointment_id = doubtful_until.appointment_id)
  );
end;
$$;
comment on function private.doubtful_until(uuid, uuid) is 'Until when jobs of a connection, or of one appointment there, may still take effect; null when none is in doubt.';
revoke all on function private.doubtful_until(uuid, uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/80_sync/enqueue_calendar_jobs.sql
-- Queues one calendar job for each active calendar of both parties of an appointment.
--
-- Called by the appointments' trigger. One job for each calendar and sequence; jobs of one appointment and calendar run
-- in order. Locks: none.

create or replace function private.enqueue_calendar_jobs(appointment public.appointments)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  -- Most people have no calendar connected, and an insert of nothing still runs its triggers.
  if not exists (
    select 1
    from public.calendar_connections as c
    where c.user_id in (appointment.professional_id, appointment.survivor_id) and c.status = 'active'
  ) then
    return;
  end if;
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, connection_id, run_at)
  select 'calendar_event', 'calendar:' || appointment.appointment_id || ':' || c.id || ':' || appointment.sequence,
    'calendar:' || appointment.appointment_id || ':' || c.id, appointment.appointment_id, c.id, private.clock()
  from public.calendar_connections as c
  where c.user_id in (appointment.professional_id, appointment.survivor_id) and c.status = 'active'
  on conflict (dedupe_key) do nothing;
end;
$$;
comment on function private.enqueue_calendar_jobs(public.appointments) is 'Jobs of kind calendar_event for the appointment''s present sequence.';
revoke all on function private.enqueue_calendar_jobs(public.appointments) from public, anon, authenticated, service_role;

-- supabase/schemas/80_sync/finish_token_refresh.sql
-- The worker that spent a refresh token stores what it got, or says that the provider refuses it for good.
--
-- Called by the worker with the lease of begin_token_refresh; with neither credentials nor error it gives the lease back.
-- Definer: credentials are private. Locks: the credentials; the connection when it has to be stopped.

create or replace function private.finish_token_refresh(connection_id uuid, lease uuid, credentials text, error text)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  if length(credentials) > 20000 or credentials !~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{22,}$' then
    perform private.raise_error('invalid_input', 'credentials: not a ciphertext');
  elsif error <> 'needs_reauth' then
    perform private.raise_error('invalid_input', 'error: needs_reauth or null');
  end if;
  update private.calendar_credentials as k
  set ciphertext = coalesce(finish_token_refresh.credentials, k.ciphertext), refresh_lease = null,
    refresh_leased_until = null, updated_at = private.clock()
  where k.connection_id = finish_token_refresh.connection_id and k.refresh_lease = finish_token_refresh.lease;
  if not found then
    perform private.raise_error('invalid_transition', 'The lease of these credentials is held by another.');
  end if;
  if error is not null then
    perform private.record_calendar_failure(null, connection_id, error);
  end if;
end;
$$;
comment on function private.finish_token_refresh(uuid, uuid, text, text) is 'Definer: credentials are private. The caller must be the worker that holds the lease.';
revoke all on function private.finish_token_refresh(uuid, uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function private.finish_token_refresh(uuid, uuid, text, text) to service_role;

create or replace function public.finish_token_refresh(
  connection_id uuid, lease uuid, credentials text default null, error text default null
)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.finish_token_refresh(connection_id, lease, credentials, error);
$$;
comment on function public.finish_token_refresh(uuid, uuid, text, text) is
  'Worker: stores refreshed credentials; error needs_reauth stops the connection and tells its owner. Errors: invalid_transition (stale lease), invalid_input.';
revoke all on function public.finish_token_refresh(uuid, uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function public.finish_token_refresh(uuid, uuid, text, text) to service_role;

-- supabase/schemas/80_sync/hurry_calendar_pull.sql
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

-- supabase/schemas/80_sync/is_in_doubt.sql
-- Whether a calendar job that has not ended may still have a request under way that nobody will answer for.
--
-- Called where a calendar is emptied for good and its jobs go: by the retirement of a connection, and by doubtful_until.
-- True while it runs, when an attempt has failed or been handed back, and when it waits to look again. Locks: none.

create or replace function private.is_in_doubt(job private.outbox_jobs)
returns boolean
language sql
immutable
security invoker
set search_path = ''
as $$
  select job.kind = 'calendar_event' and (
    job.state = 'running' or (job.state = 'pending' and (job.attempts > 0 or job.looks_again or job.last_error = 'worker_stopped'))
  );
$$;
comment on function private.is_in_doubt(private.outbox_jobs) is 'Whether what a calendar job has sent may still take effect.';
revoke all on function private.is_in_doubt(private.outbox_jobs) from public, anon, authenticated, service_role;

-- supabase/schemas/80_sync/list_credentials.sql
-- Ciphertexts that are not under a given key, for their renewal.
--
-- Called with the service key by `sauti-sync keys rotate`. Whoever calls holds the keys or can read nothing. Definer:
-- credentials are private. Locks: none.

create or replace function private.list_credentials(
  key_id text, max_rows integer, after_kind text, after_id text
)
returns table (kind text, id text, user_id uuid, provider text, ciphertext text)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  if key_id is null or key_id !~ '^[A-Za-z0-9_-]{1,40}$' or max_rows is null or max_rows not between 1 and 1000 then
    perform private.raise_error('invalid_input', 'key_id, or max_rows: 1 to 1000.');
  end if;
  return query
  select s.kind, s.id, s.user_id, s.provider, s.ciphertext
  from (
    select 'calendar' as kind, c.id::text as id, c.user_id, c.provider::text as provider, k.ciphertext
    from private.calendar_credentials as k
    join public.calendar_connections as c on c.id = k.connection_id
    union all
    select 'retired', r.job_id::text, r.user_id, r.provider::text, r.ciphertext
    from private.calendar_retirements as r
    union all
    select 'cal_com', x.professional_id::text, x.professional_id, 'cal_com', x.ciphertext
    from private.cal_com_secrets as x
  ) as s
  where split_part(s.ciphertext, '.', 2) <> key_id and (s.kind, s.id) > (coalesce(after_kind, ''), coalesce(after_id, ''))
  order by s.kind, s.id
  limit max_rows;
end;
$$;
comment on function private.list_credentials(text, integer, text, text) is 'Definer: credentials are private. The caller must hold the service key.';
revoke all on function private.list_credentials(text, integer, text, text) from public, anon, authenticated, service_role;
grant execute on function private.list_credentials(text, integer, text, text) to service_role;

create or replace function public.list_credentials(
  key_id text, max_rows integer default 100, after_kind text default '', after_id text default ''
)
returns table (kind text, id text, user_id uuid, provider text, ciphertext text)
language sql
stable
security invoker
set search_path = ''
as $$
  select * from private.list_credentials(key_id, max_rows, after_kind, after_id);
$$;
comment on function public.list_credentials(text, integer, text, text) is
  'Operators: ciphertexts that another key than key_id encrypts, at most max_rows (1 to 1000), in order behind (after_kind, after_id). → kind calendar, retired or cal_com; id; what the ciphertext is bound to. Errors: invalid_input.';
revoke all on function public.list_credentials(text, integer, text, text) from public, anon, authenticated, service_role;
grant execute on function public.list_credentials(text, integer, text, text) to service_role;

-- supabase/schemas/80_sync/notice_calendar_changes.sql
-- What a provider tells by its channels: believed with the channel's token, and then only that a calendar is to be read.
--
-- Called by the Edge Function `api` with the service key, for addresses that the whole world can reach. An unknown channel, a
-- wrong token, a message that came before and a calendar that is no longer served change nothing. Tokens are compared as
-- hashes of 256 random bits, so the time it takes tells nothing about them. Definer: channels and the outbox are private.
-- Locks: the connection (shared, as deletions lock it first), the channel, the row of private.calendar_pulls.

create or replace function private.notice_calendar_changes(provider text, notices jsonb)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_notice record;
  v_connection_id uuid;
  v_count integer := 0;
begin
  perform private.require_service_role();
  if provider is null or provider not in ('google', 'microsoft') or jsonb_typeof(notices) is distinct from 'array'
    or jsonb_array_length(notices) not between 1 and 100
  then
    perform private.raise_error('invalid_input', 'provider, or notices: 1 to 100.');
  end if;
  for v_notice in
    select n.channel_id, n.token_hash, n.resource_id, max(n.message) as message,
      bool_or(n.state <> 'sync') as is_change, bool_or(n.state = 'lost') as is_lost
    from jsonb_to_recordset(notices) as n (channel_id uuid, token_hash text, resource_id text, message bigint, state text)
    group by n.channel_id, n.token_hash, n.resource_id
    order by n.channel_id
  loop
    select c.id into v_connection_id
    from private.calendar_channels as n
    join public.calendar_connections as c on c.id = n.connection_id
    where n.id = v_notice.channel_id and n.token_hash = v_notice.token_hash
      and c.provider::text = notice_calendar_changes.provider and c.status = 'active'
    for key share of c;
    continue when v_connection_id is null;
    update private.calendar_channels as n
    set last_message = coalesce(v_notice.message, n.last_message), resource_id = coalesce(n.resource_id, v_notice.resource_id),
      expires_at = case when v_notice.is_lost then least(n.expires_at, private.clock()) else n.expires_at end
    where n.id = v_notice.channel_id and n.token_hash = v_notice.token_hash
      and (n.expires_at is null or n.expires_at > private.clock())
      and (n.resource_id is null or n.resource_id = v_notice.resource_id)
      -- Google numbers its messages, Microsoft does not.
      and (v_notice.message > n.last_message or (v_notice.message is null and notice_calendar_changes.provider = 'microsoft'));
    continue when not found;
    v_count := v_count + 1;
    if v_notice.is_change then
      perform private.hurry_calendar_pull(v_connection_id);
    end if;
  end loop;
  return v_count;
end;
$$;
comment on function private.notice_calendar_changes(text, jsonb) is
  'Definer: channels and the outbox are private. The caller must be the Edge Function with the service key; each message has to bring its channel''s token.';
revoke all on function private.notice_calendar_changes(text, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.notice_calendar_changes(text, jsonb) to service_role;

create or replace function public.notice_calendar_changes(provider text, notices jsonb)
returns integer
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.notice_calendar_changes(provider, notices);
$$;
comment on function public.notice_calendar_changes(text, jsonb) is
  'Edge Function: what google or microsoft tells of changed calendars, as [{channel_id, token_hash, resource_id, message, state: sync | exists | lost}]. → integer: how many messages were believed. Errors: invalid_input.';
revoke all on function public.notice_calendar_changes(text, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.notice_calendar_changes(text, jsonb) to service_role;

-- supabase/schemas/80_sync/push_calendar_event.sql
-- Puts one appointment into the caller's own calendars now, whatever was written there before.
--
-- Called by either party. What a calendar is said to show is forgotten, so that an entry deleted by hand comes back; a job
-- that already waits is not doubled. Definer: it writes the outbox. Locks: the mapping rows.

create or replace function private.push_calendar_event(appointment_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_appointment public.appointments;
  v_queued integer;
begin
  select a.* into v_appointment
  from public.appointments as a
  where a.appointment_id = push_calendar_event.appointment_id and v_user_id in (a.professional_id, a.survivor_id);
  if not found then
    perform private.raise_error('not_found');
  end if;
  update public.calendar_events as e
  set sync_status = 'pending', deletions = 0
  from public.calendar_connections as c
  where e.appointment_id = v_appointment.appointment_id and c.id = e.connection_id and c.user_id = v_user_id
    and c.status = 'active';
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, priority, appointment_id, connection_id, run_at)
  select 'calendar_event',
    'calendar:' || v_appointment.appointment_id || ':' || c.id || ':' || v_appointment.sequence || ':pushed:' || gen_random_uuid(),
    'calendar:' || v_appointment.appointment_id || ':' || c.id, 20, v_appointment.appointment_id, c.id, private.clock()
  from public.calendar_connections as c
  where c.user_id = v_user_id and c.status = 'active'
    and not exists (
      select 1
      from private.outbox_jobs as j
      where j.appointment_id = v_appointment.appointment_id and j.connection_id = c.id and j.kind = 'calendar_event'
        and j.state = 'pending' and j.run_at <= private.clock() and not j.looks_again
    );
  get diagnostics v_queued = row_count;
  return jsonb_build_object('queued', v_queued);
end;
$$;
comment on function private.push_calendar_event(uuid) is 'Definer: the outbox is private. The caller must be a party of the appointment.';
revoke all on function private.push_calendar_event(uuid) from public, anon, authenticated, service_role;
grant execute on function private.push_calendar_event(uuid) to authenticated;

create or replace function public.push_calendar_event(appointment_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.push_calendar_event(appointment_id);
end;
$$;
comment on function public.push_calendar_event(uuid) is
  'Either party: writes the appointment into the caller''s own active calendars now. → jsonb {queued}: how many jobs were added. Errors: not_found.';
revoke all on function public.push_calendar_event(uuid) from public, anon, authenticated, service_role;
grant execute on function public.push_calendar_event(uuid) to anon, authenticated;

-- supabase/schemas/80_sync/queue_calendar_pulls.sql
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

-- supabase/schemas/80_sync/reconcile_calendar_events.sql
-- What the owner has done by hand to the events that we wrote: a deleted one comes back once, a moved one is asked about.
--
-- Called by store_calendar_busy. An event is judged only when the reader knew it, it shows the appointment's present
-- sequence, was last written before the reading began and is not about to be written: else it is our own change that was
-- read. A moved event stays where it is until the appointment changes; two programs that correct each other would never
-- end. Locks: the mapping rows.

create or replace function private.reconcile_calendar_events(connection_id uuid, pulled jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_event record;
begin
  for v_event in
    select e.appointment_id, e.deletions, e.flagged_sequence, a.sequence, a.professional_id, c.user_id,
      (o.seen ->> 'gone')::boolean as is_gone,
      (o.seen ->> 'starts_at')::timestamptz is distinct from a.appointment_date
        or (o.seen ->> 'ends_at')::timestamptz is distinct from upper(private.appointment_during(a.appointment_date, a.duration_minutes))
        as is_moved
    from public.calendar_events as e
    join public.calendar_connections as c on c.id = e.connection_id
    join public.appointments as a on a.appointment_id = e.appointment_id
    join jsonb_array_elements(pulled -> 'own') as o (seen) on o.seen ->> 'appointment_id' = e.appointment_id::text
    where e.connection_id = reconcile_calendar_events.connection_id and e.sync_status = 'synced'
      and a.status in ('requested', 'confirmed') and a.appointment_date > private.clock() and e.synced_sequence = a.sequence
      and e.synced_at < (pulled ->> 'as_of')::timestamptz
      -- What a whole reading did not show is gone; a part of it says nothing about the rest. It must have been known when
      -- the reading began: a settlement that commits later bears the time of its own beginning.
      and (not coalesce((o.seen ->> 'absent')::boolean, false) or (pulled ->> 'is_full')::boolean)
      -- An appointment that was put outside the time that is read has left the reading by our own hand.
      and (not coalesce((o.seen ->> 'gone')::boolean, false) or (
        a.appointment_date >= (pulled ->> 'from')::timestamptz
        and upper(private.appointment_during(a.appointment_date, a.duration_minutes)) <= (pulled ->> 'until')::timestamptz
      ))
      and not exists (
        select 1
        from private.outbox_jobs as j
        where j.appointment_id = e.appointment_id and j.connection_id = e.connection_id and j.kind = 'calendar_event'
          and j.state in ('pending', 'running')
          -- Looking again writes nothing for an appointment that stands.
          and not j.looks_again
      )
    order by e.appointment_id
    for no key update of e
  loop
    if v_event.is_gone and v_event.deletions = 0 then
      update public.calendar_events as e
      set deletions = 1, sync_status = 'pending', external_event_id = null, etag = null
      where e.appointment_id = v_event.appointment_id and e.connection_id = reconcile_calendar_events.connection_id;
      insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, connection_id, run_at)
      values (
        'calendar_event',
        'calendar:' || v_event.appointment_id || ':' || connection_id || ':' || v_event.sequence || ':again:' || gen_random_uuid(),
        'calendar:' || v_event.appointment_id || ':' || connection_id, v_event.appointment_id, connection_id, private.clock()
      );
    elsif v_event.is_gone then
      update public.calendar_events as e
      set deletions = e.deletions + 1, sync_status = 'dismissed'
      where e.appointment_id = v_event.appointment_id and e.connection_id = reconcile_calendar_events.connection_id;
    elsif v_event.is_moved and v_event.flagged_sequence is distinct from v_event.sequence then
      update public.calendar_events as e
      set flagged_sequence = v_event.sequence
      where e.appointment_id = v_event.appointment_id and e.connection_id = reconcile_calendar_events.connection_id;
      perform private.notify(array[v_event.user_id], 'calendar_event_moved', appointment_id => v_event.appointment_id);
    end if;
  end loop;
end;
$$;
comment on function private.reconcile_calendar_events(uuid, jsonb) is 'Judges own events of one reading: recreated once, then dismissed; moved ones are told to the owner once for each sequence.';
revoke all on function private.reconcile_calendar_events(uuid, jsonb) from public, anon, authenticated, service_role;

-- supabase/schemas/80_sync/record_calendar_failure.sql
-- Remembers why a calendar could not be brought up to date; expired credentials stop the connection and tell its owner.
--
-- Called by fail_job and finish_token_refresh; without an appointment a reading has failed, and the next one waits longer.
-- Locks: the connection and the mapping row.

create or replace function private.record_calendar_failure(appointment_id uuid, connection_id uuid, error text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid;
begin
  insert into public.calendar_events as e (appointment_id, connection_id, provider, sync_status, last_error)
  select record_calendar_failure.appointment_id, c.id, c.provider, 'failed', record_calendar_failure.error
  from public.calendar_connections as c
  where c.id = record_calendar_failure.connection_id and record_calendar_failure.appointment_id is not null
  on conflict on constraint calendar_events_pkey do update
  set sync_status = case when e.sync_status in ('synced', 'removed') then e.sync_status else 'failed' end,
    last_error = excluded.last_error;

  update private.calendar_pulls as p
  set failures = p.failures + 1,
    next_at = private.clock() + least(make_interval(mins => s.pull_minutes) * power(2, least(p.failures, 12)), interval '1 day')
  from private.calendar_settings as s
  where p.connection_id = record_calendar_failure.connection_id and record_calendar_failure.appointment_id is null;

  update public.calendar_connections as c
  set last_error = record_calendar_failure.error,
    status = case when record_calendar_failure.error = 'needs_reauth' then 'needs_reauth' else c.status end
  from public.calendar_connections as before
  where c.id = record_calendar_failure.connection_id and before.id = c.id
  returning case when c.status = 'needs_reauth' and before.status <> 'needs_reauth' then c.user_id end into v_user_id;
  if v_user_id is not null then
    perform private.notify(array[v_user_id], 'calendar_needs_reauth');
  end if;
end;
$$;
comment on function private.record_calendar_failure(uuid, uuid, text) is 'error is a symbol; needs_reauth stops the connection and notifies its owner once.';
revoke all on function private.record_calendar_failure(uuid, uuid, text) from public, anon, authenticated, service_role;

-- supabase/schemas/80_sync/record_calendar_result.sql
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

-- supabase/schemas/80_sync/replace_credentials.sql
-- Puts a ciphertext under another key, unless it has been replaced in the meantime.
--
-- Called with the service key by `sauti-sync keys rotate`: a worker may store fresh tokens while keys are rotated, and
-- those must not be overwritten by older ones. Definer: credentials are private. Locks: the row.

create or replace function private.replace_credentials(kind text, id text, seen text, ciphertext text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  if kind is null or kind not in ('calendar', 'retired', 'cal_com')
    or id is null or (kind = 'retired') <> (id ~ '^[0-9]{1,18}$')
    or (kind <> 'retired') <> (id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
    or seen is null or ciphertext is null or length(ciphertext) > 20000
    or ciphertext !~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{22,}$'
  then
    perform private.raise_error('invalid_input', 'kind, id, seen or ciphertext');
  end if;
  if kind = 'calendar' then
    update private.calendar_credentials as k
    set ciphertext = replace_credentials.ciphertext, updated_at = private.clock()
    where k.connection_id = replace_credentials.id::uuid and k.ciphertext = seen;
  elsif kind = 'retired' then
    update private.calendar_retirements as r
    set ciphertext = replace_credentials.ciphertext
    where r.job_id = replace_credentials.id::bigint and r.ciphertext = seen;
  else
    update private.cal_com_secrets as s
    set ciphertext = replace_credentials.ciphertext, updated_at = private.clock()
    where s.professional_id = replace_credentials.id::uuid and s.ciphertext = seen;
  end if;
  return found;
end;
$$;
comment on function private.replace_credentials(text, text, text, text) is 'Definer: credentials are private. The caller must hold the service key.';
revoke all on function private.replace_credentials(text, text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.replace_credentials(text, text, text, text) to service_role;

create or replace function public.replace_credentials(kind text, id text, seen text, ciphertext text)
returns boolean
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.replace_credentials(kind, id, seen, ciphertext);
$$;
comment on function public.replace_credentials(text, text, text, text) is
  'Operators: replaces a ciphertext of list_credentials if it is still the one seen. → whether it was. Errors: invalid_input.';
revoke all on function public.replace_credentials(text, text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.replace_credentials(text, text, text, text) to service_role;

-- supabase/schemas/80_sync/schedule_calendar_pulls.sql
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

-- supabase/schemas/80_sync/settle_calendar_channel.sql
-- A channel is open until a moment, or there is none any more.
--
-- Called by the worker under the lease of a reading, after the provider's answer. Without a resource the channel is
-- forgotten: it was refused, or stopped. Definer: channels are private. Locks: the job, the channel.

create or replace function private.settle_calendar_channel(
  job_id bigint, lease_token uuid, channel_id uuid, resource_id text, expires_at timestamptz
)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job private.outbox_jobs;
begin
  v_job := private.leased_job(job_id, lease_token);
  if (resource_id is null) <> (expires_at is null) or length(resource_id) not between 1 and 500 then
    perform private.raise_error('invalid_input', 'resource_id and expires_at: both or none.');
  end if;
  if resource_id is null then
    delete from private.calendar_channels as n
    where n.id = settle_calendar_channel.channel_id and n.connection_id = v_job.connection_id;
    return;
  end if;
  update private.calendar_channels as n
  set resource_id = settle_calendar_channel.resource_id,
    expires_at = least(settle_calendar_channel.expires_at, private.clock() + interval '30 days')
  where n.id = settle_calendar_channel.channel_id and n.connection_id = v_job.connection_id;
end;
$$;
comment on function private.settle_calendar_channel(bigint, uuid, uuid, text, timestamptz) is
  'Definer: channels are private. The caller must be the worker and hold the lease.';
revoke all on function private.settle_calendar_channel(bigint, uuid, uuid, text, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function private.settle_calendar_channel(bigint, uuid, uuid, text, timestamptz) to service_role;

create or replace function public.settle_calendar_channel(
  job_id bigint, lease_token uuid, channel_id uuid, resource_id text default null, expires_at timestamptz default null
)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.settle_calendar_channel(job_id, lease_token, channel_id, resource_id, expires_at);
$$;
comment on function public.settle_calendar_channel(bigint, uuid, uuid, text, timestamptz) is
  'Worker: a channel is open until expires_at, under the provider''s name resource_id; without both it is forgotten. Errors: invalid_transition (stale lease), invalid_input.';
revoke all on function public.settle_calendar_channel(bigint, uuid, uuid, text, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function public.settle_calendar_channel(bigint, uuid, uuid, text, timestamptz) to service_role;

-- supabase/schemas/80_sync/store_calendar_busy.sql
-- Takes over what the worker has read in a professional's calendar: busy times, and what became of our own events.
--
-- Called by the worker under the lease of its job, with all changes of one reading, so that free slots never show half of
-- them. A confirmed appointment that newly meets a busy time is told to the professional, and to nobody else. Definer:
-- pulls and the outbox are private. Locks: the job, the connection, then the rows that change.

create or replace function private.store_calendar_busy(job_id bigint, lease_token uuid, pulled jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job private.outbox_jobs;
  v_professional_id uuid;
  v_is_full boolean := coalesce((pulled ->> 'is_full')::boolean, false);
  v_before uuid[];
  v_clashes uuid[];
  v_busy integer;
begin
  v_job := private.leased_job(job_id, lease_token);
  if v_job.kind <> 'calendar_pull' or length(pulled ->> 'cursor') > 1048576
    or jsonb_typeof(pulled -> 'changes') is distinct from 'array' or jsonb_typeof(pulled -> 'own') is distinct from 'array'
  then
    perform private.raise_error('invalid_input', 'pulled');
  end if;
  select c.user_id into v_professional_id
  from public.calendar_connections as c
  where c.id = v_job.connection_id and c.status = 'active'
  for no key update;
  if not found then
    return '{"busy": 0, "clashes": 0}'::jsonb;
  end if;

  v_before := private.clashing_appointments(v_professional_id, v_job.connection_id);
  with seen as materialized (
    select x.change ->> 'source' as source, s.span
    from jsonb_array_elements(pulled -> 'changes') as x (change)
    left join lateral (
      select tstzrange((y.pair ->> 0)::timestamptz, (y.pair ->> 1)::timestamptz) as span
      from jsonb_array_elements(x.change -> 'spans') as y (pair)
    ) as s on true
  ),
  gone as (
    delete from public.calendar_busy as b
    where b.connection_id = v_job.connection_id and b.source is not null
      and (v_is_full or b.source in (select s.source from seen as s))
      and not exists (select 1 from seen as s where s.source = b.source and s.span = b.during)
  )
  insert into public.calendar_busy (connection_id, professional_id, during, source, created_at)
  select distinct v_job.connection_id, v_professional_id, s.span, s.source, private.clock()
  from seen as s
  where not isempty(s.span) and not exists (
    select 1
    from public.calendar_busy as b
    where b.connection_id = v_job.connection_id and b.source = s.source and b.during = s.span
  );
  get diagnostics v_busy = row_count;

  select array_agg(a.id) into v_clashes
  from unnest(private.clashing_appointments(v_professional_id, v_job.connection_id)) as a (id)
  where a.id <> all (v_before);
  perform private.notify(array[v_professional_id], 'calendar_clash', appointment_id => a.id)
  from unnest(v_clashes) as a (id);

  perform private.reconcile_calendar_events(v_job.connection_id, pulled);
  update private.calendar_pulls as p
  set cursor = pulled ->> 'cursor', failures = 0, full_at = case when v_is_full then private.clock() else p.full_at end
  where p.connection_id = v_job.connection_id;
  update public.calendar_connections as c
  set last_synced_at = private.clock(), last_error = null
  where c.id = v_job.connection_id;
  return jsonb_build_object('busy', v_busy, 'clashes', coalesce(cardinality(v_clashes), 0));
end;
$$;
comment on function private.store_calendar_busy(bigint, uuid, jsonb) is 'Definer: pulls and the outbox are private. The caller must be the worker and hold the lease.';
revoke all on function private.store_calendar_busy(bigint, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.store_calendar_busy(bigint, uuid, jsonb) to service_role;

create or replace function public.store_calendar_busy(job_id bigint, lease_token uuid, pulled jsonb)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.store_calendar_busy(job_id, lease_token, pulled);
$$;
comment on function public.store_calendar_busy(bigint, uuid, jsonb) is
  'Worker: stores one reading {as_of, from, until, cursor, is_full, changes: [{source, spans: [[from, until]]}], own: [{appointment_id, gone, absent, starts_at, ends_at}]}. → jsonb {busy, clashes}: times added, new clashes. Errors: invalid_transition (stale lease), invalid_input.';
revoke all on function public.store_calendar_busy(bigint, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.store_calendar_busy(bigint, uuid, jsonb) to service_role;

-- supabase/schemas/80_sync/store_calendar_connection.sql
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

-- supabase/schemas/80_sync/take_calendar_oauth.sql
-- Takes an OAuth state out: whoever comes second with the same one finds nothing.
--
-- Called by the Edge Function `api` with the service key, when the provider sends the browser back. Definer: the states
-- are private. Locks: the state, which is deleted.

create or replace function private.take_calendar_oauth(provider text, state_hash text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_state private.oauth_states;
begin
  perform private.require_service_role();
  delete from private.oauth_states as s
  where s.state_hash = take_calendar_oauth.state_hash and s.provider::text = take_calendar_oauth.provider
  returning s.* into v_state;
  if v_state.state_hash is null or v_state.expires_at <= private.clock() then
    -- An answer and not an error, which would put the row back.
    return null;
  end if;
  return jsonb_build_object('user_id', v_state.user_id, 'verifier', v_state.verifier);
end;
$$;
comment on function private.take_calendar_oauth(text, text) is 'Definer: the states are private. The caller must be the Edge Function with the service key.';
revoke all on function private.take_calendar_oauth(text, text) from public, anon, authenticated, service_role;
grant execute on function private.take_calendar_oauth(text, text) to service_role;

create or replace function public.take_calendar_oauth(provider text, state_hash text)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.take_calendar_oauth(provider, state_hash);
$$;
comment on function public.take_calendar_oauth(text, text) is
  'Edge Function: uses an OAuth state up. → jsonb {user_id, verifier}, null when it was never given, used before or is too old.';
revoke all on function public.take_calendar_oauth(text, text) from public, anon, authenticated, service_role;
grant execute on function public.take_calendar_oauth(text, text) to service_role;

-- supabase/schemas/80_sync/tg_calendar_connections__retire.sql
-- A connection that goes leaves a job behind: the worker takes its events out of the calendar and gives the access back.
--
-- Called by: delete on public.calendar_connections, also when the person's account is erased. A running job may be writing
-- an event just now, and what an earlier attempt has sent may still arrive; both count as standing there, and the cleaning
-- waits for them. Definer: credentials and the outbox are private.

create or replace function private.tg_calendar_connections__retire()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_ciphertext text;
  v_job_id bigint;
begin
  select k.ciphertext into v_ciphertext from private.calendar_credentials as k where k.connection_id = old.id;
  if v_ciphertext is null then
    return old;
  end if;
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, priority, run_at)
  values (
    'calendar_disconnect', 'disconnect:' || old.id, 'disconnect:' || old.user_id || ':' || old.provider, 60,
    greatest(private.clock(), private.doubtful_until(old.id))
  )
  returning id into v_job_id;
  insert into private.calendar_retirements (job_id, user_id, provider, account_label, calendar_id, ciphertext, events, channels)
  select v_job_id, old.user_id, old.provider, old.account_label, old.calendar_id, v_ciphertext,
    coalesce(jsonb_agg(jsonb_build_object('appointment_id', s.appointment_id, 'external_event_id', s.external_event_id)), '[]'),
    (
      select coalesce(jsonb_agg(jsonb_build_object('channel_id', n.id, 'resource_id', n.resource_id)), '[]')
      from private.calendar_channels as n
      where n.connection_id = old.id and n.resource_id is not null
    )
  from (
    select e.appointment_id, e.external_event_id
    from public.calendar_events as e
    where e.connection_id = old.id and e.sync_status not in ('removed', 'dismissed')
    union
    select j.appointment_id, null
    from private.outbox_jobs as j
    where j.connection_id = old.id and private.is_in_doubt(j) and not exists (
      select 1
      from public.calendar_events as e
      where e.appointment_id = j.appointment_id and e.connection_id = old.id and e.sync_status not in ('removed', 'dismissed')
    )
  ) as s;
  return old;
end;
$$;
comment on function private.tg_calendar_connections__retire() is 'Definer: credentials and the outbox are private. Queues a job of kind calendar_disconnect.';
revoke all on function private.tg_calendar_connections__retire() from public, anon, authenticated, service_role;

create trigger _100_retire
before delete on public.calendar_connections
for each row execute function private.tg_calendar_connections__retire();

-- supabase/schemas/80_sync/tg_outbox_jobs__forget_retirement.sql
-- Credentials of a disconnected calendar are forgotten as soon as its job has ended, well or not.
--
-- Called by: update on private.outbox_jobs, whichever function ends the job. Definer: the table is private.

create or replace function private.tg_outbox_jobs__forget_retirement()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  delete from private.calendar_retirements as r where r.job_id = new.id;
  return null;
end;
$$;
comment on function private.tg_outbox_jobs__forget_retirement() is 'Definer: the table is private. Deletes what a job of kind calendar_disconnect needed.';
revoke all on function private.tg_outbox_jobs__forget_retirement() from public, anon, authenticated, service_role;

create trigger _500_forget_retirement
after update of finished_at on private.outbox_jobs
for each row
when (new.kind = 'calendar_disconnect' and new.state in ('done', 'dead'))
execute function private.tg_outbox_jobs__forget_retirement();

-- supabase/schemas/80_sync/tg_outbox_jobs__look_again.sql
-- A calendar job that took more than one attempt leaves another behind, which looks again when all requests have arrived.
--
-- Called by: update on private.outbox_jobs, whichever function ends the job. An attempt that was not answered, or whose
-- worker died, may write after the next one found nothing to remove, or removed it; conditions on the event cannot hold
-- off what creates it. Definer: the outbox is private. Locks: none.

create or replace function private.tg_outbox_jobs__look_again()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, connection_id, looks_again, run_at)
  select 'calendar_event', 'calendar:' || new.appointment_id || ':' || new.connection_id || ':look:' || gen_random_uuid(),
    new.ordering_key, new.appointment_id, new.connection_id, true, private.clock() + s.doubt_seconds * interval '1 second'
  from private.calendar_settings as s;
  return null;
end;
$$;
comment on function private.tg_outbox_jobs__look_again() is 'Definer: the outbox is private. Queues what removes the late effect of an unanswered attempt.';
revoke all on function private.tg_outbox_jobs__look_again() from public, anon, authenticated, service_role;

create trigger _500_look_again
after update of finished_at on private.outbox_jobs
for each row
when (
  new.kind = 'calendar_event' and new.state in ('done', 'dead') and old.state = 'running' and new.appointment_id is not null
  and (new.attempts > 1 or old.last_error = 'worker_stopped')
  -- Looking again only removes, which may come late without harm.
  and not new.looks_again
)
execute function private.tg_outbox_jobs__look_again();

-- supabase/schemas/80_sync/google_calendar_events.sql
-- The calendar events that stand in Google calendars.
--
-- Read by: the owner of the connection, through the policy of public.calendar_events. Locks: none.

create or replace view public.google_calendar_events
with (security_invoker = true)
as
select e.appointment_id, e.connection_id, e.provider, e.external_event_id, e.etag, e.synced_sequence, e.sync_status,
  e.last_error, e.created_at
from public.calendar_events as e
where e.provider = 'google';
comment on view public.google_calendar_events is 'Those rows of calendar_events whose provider is google.';
comment on column public.google_calendar_events.appointment_id is 'The appointment.';
comment on column public.google_calendar_events.connection_id is 'The calendar.';
comment on column public.google_calendar_events.provider is 'google.';
comment on column public.google_calendar_events.external_event_id is 'The provider''s name of the event.';
comment on column public.google_calendar_events.etag is 'The provider''s version of it.';
comment on column public.google_calendar_events.synced_sequence is 'The appointment''s sequence that stands there.';
comment on column public.google_calendar_events.sync_status is 'pending, synced, removed, failed or dismissed.';
comment on column public.google_calendar_events.last_error is 'Symbol of the last failure.';
comment on column public.google_calendar_events.created_at is 'When the row was made.';
