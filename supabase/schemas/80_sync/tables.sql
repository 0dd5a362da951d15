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
  updated_at timestamptz not null default now()
);
comment on table private.calendar_credentials is 'AES-256-GCM ciphertexts, made outside the database under SAUTI_TOKEN_KEYS; the database never holds a key.';
comment on column private.calendar_credentials.connection_id is 'The connection.';
comment on column private.calendar_credentials.ciphertext is 'v1.<key id>.<nonce>.<ciphertext and tag>, base64url; bound to <user id>:<provider>.';
comment on column private.calendar_credentials.updated_at is 'When it was stored.';

create table public.calendar_events (
  appointment_id uuid not null references public.appointments (appointment_id) on delete cascade,
  connection_id uuid not null references public.calendar_connections (id) on delete cascade,
  provider public.calendar_provider not null,
  external_event_id text,
  etag text,
  synced_sequence integer,
  sync_status text not null default 'pending',
  last_error text,
  created_at timestamptz not null default now(),
  primary key (appointment_id, connection_id),
  constraint calendar_events_external_event_id_length check (length(external_event_id) <= 1024),
  constraint calendar_events_etag_length check (length(etag) <= 1024),
  constraint calendar_events_sync_status_known check (sync_status in ('pending', 'synced', 'removed', 'failed')),
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
comment on column public.calendar_events.sync_status is 'pending, synced, removed or failed.';
comment on column public.calendar_events.last_error is 'Symbol of the last failure.';
comment on column public.calendar_events.created_at is 'When the row was made.';

create table public.calendar_busy (
  id bigint generated always as identity primary key,
  connection_id uuid not null references public.calendar_connections (id) on delete cascade,
  professional_id uuid not null references public.professionals (id) on delete cascade,
  during tstzrange not null,
  created_at timestamptz not null default now(),
  constraint calendar_busy_during_whole check (not isempty(during) and not lower_inf(during) and not upper_inf(during))
);
create index calendar_busy_connection_id_idx on public.calendar_busy (connection_id);
create index calendar_busy_professional_id_idx on public.calendar_busy (professional_id);
create index calendar_busy_during_idx on public.calendar_busy using gist (professional_id, during);
comment on table public.calendar_busy is 'Times at which a professional''s other calendars are busy. Times only; the professional alone reads them.';
comment on column public.calendar_busy.id is 'Key.';
comment on column public.calendar_busy.connection_id is 'Which calendar.';
comment on column public.calendar_busy.professional_id is 'Whose time.';
comment on column public.calendar_busy.during is 'From when until when.';
comment on column public.calendar_busy.created_at is 'When it was read.';

alter table private.outbox_jobs
  add constraint outbox_jobs_connection_id_fkey foreign key (connection_id)
  references public.calendar_connections (id) on delete cascade;
