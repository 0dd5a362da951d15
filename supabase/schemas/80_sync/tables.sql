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
