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

-- supabase/schemas/80_sync/calendar_event_context.sql
-- What a calendar job has to bring about, as things are now.
--
-- Called by job_context. A live or held appointment stands in the calendar, a cancelled one does not. When the calendar
-- already shows this sequence, the job is obsolete; a later job for a newer one may have run first. Locks: none.

create or replace function private.calendar_event_context(appointment_id uuid, connection_id uuid)
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
  v_operation text;
begin
  select a.* into v_appointment from public.appointments as a where a.appointment_id = calendar_event_context.appointment_id;
  select c.* into v_connection from public.calendar_connections as c where c.id = calendar_event_context.connection_id;
  select e.* into v_mapping
  from public.calendar_events as e
  where e.appointment_id = v_appointment.appointment_id and e.connection_id = v_connection.id;
  v_operation := case v_appointment.status when 'cancelled' then 'delete' else 'upsert' end;
  if v_appointment.appointment_id is null or v_connection.id is null or v_connection.status <> 'active'
    or v_connection.user_id not in (v_appointment.professional_id, coalesce(v_appointment.survivor_id, v_appointment.professional_id))
    or (
      v_mapping.synced_sequence >= v_appointment.sequence
      and v_mapping.sync_status = case v_operation when 'delete' then 'removed' else 'synced' end
    )
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
      'credentials', (select k.ciphertext from private.calendar_credentials as k where k.connection_id = v_connection.id)
    ),
    'event', private.appointment_facts(v_appointment),
    'mapping', case when v_mapping.external_event_id is not null then jsonb_build_object(
      'external_event_id', v_mapping.external_event_id, 'etag', v_mapping.etag, 'synced_sequence', v_mapping.synced_sequence
    ) end
  );
end;
$$;
comment on function private.calendar_event_context(uuid, uuid) is 'jsonb {state: due, operation: upsert | delete, connection, event, mapping}, or null when nothing is to be done.';
revoke all on function private.calendar_event_context(uuid, uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/80_sync/delete_calendar_connection.sql
-- A person disconnects a calendar: its credentials, mappings and waiting jobs go with it.
--
-- Called by its owner. Definer: connections are not writable directly. Locks: the connection.

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
comment on function public.delete_calendar_connection(uuid) is 'Owner: disconnects a calendar and forgets its credentials. Errors: not_found.';
revoke all on function public.delete_calendar_connection(uuid) from public, anon, authenticated, service_role;
grant execute on function public.delete_calendar_connection(uuid) to anon, authenticated;

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

-- supabase/schemas/80_sync/record_calendar_failure.sql
-- Remembers why a calendar could not be brought up to date; expired credentials stop the connection and tell its owner.
--
-- Called by fail_job. Locks: the connection and the mapping row.

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
-- Called by complete_job. A result of an older sequence never overwrites a newer one. Locks: the mapping row.

create or replace function private.record_calendar_result(appointment_id uuid, connection_id uuid, result jsonb)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into public.calendar_events as e (
    appointment_id, connection_id, provider, external_event_id, etag, synced_sequence, sync_status
  )
  select a.appointment_id, c.id, c.provider, result ->> 'external_event_id', result ->> 'etag',
    coalesce((result ->> 'sequence')::integer, a.sequence),
    case result ->> 'outcome' when 'removed' then 'removed' else 'synced' end
  from public.calendar_connections as c
  join public.appointments as a on a.appointment_id = record_calendar_result.appointment_id
  where c.id = record_calendar_result.connection_id and result ->> 'outcome' in ('synced', 'removed')
  on conflict on constraint calendar_events_pkey do update
  set external_event_id = coalesce(excluded.external_event_id, e.external_event_id), etag = excluded.etag,
    synced_sequence = excluded.synced_sequence, sync_status = excluded.sync_status, last_error = null
  where coalesce(e.synced_sequence, 0) <= excluded.synced_sequence;

  update public.calendar_connections as c
  set last_synced_at = private.clock(), last_error = null
  where c.id = record_calendar_result.connection_id and result ->> 'outcome' in ('synced', 'removed');
$$;
comment on function private.record_calendar_result(uuid, uuid, jsonb) is 'Writes calendar_events from {outcome: synced | removed, external_event_id, etag, sequence}.';
revoke all on function private.record_calendar_result(uuid, uuid, jsonb) from public, anon, authenticated, service_role;

-- supabase/schemas/80_sync/store_calendar_connection.sql
-- Stores a connected calendar with its encrypted credentials, and queues what should stand in it.
--
-- Called by the Edge Function `api` with the service key, after it has verified who the user is, checked the address and
-- encrypted the credentials. Connecting the same calendar again renews it. Definer: credentials are private.

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
  on conflict (connection_id) do update set ciphertext = excluded.ciphertext, updated_at = now();

  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, connection_id, run_at)
  select 'calendar_event',
    'calendar:' || a.appointment_id || ':' || v_connection.id || ':' || a.sequence || ':connected:' || gen_random_uuid(),
    'calendar:' || a.appointment_id || ':' || v_connection.id, a.appointment_id, v_connection.id, private.clock()
  from public.appointments as a
  where store_calendar_connection.user_id in (a.professional_id, a.survivor_id)
    and (
      (a.status in ('requested', 'confirmed') and a.appointment_date > private.clock())
      -- What changed while the calendar was out of reach.
      or exists (
        select 1
        from public.calendar_events as e
        where e.appointment_id = a.appointment_id and e.connection_id = v_connection.id
          and e.sync_status <> 'removed' and a.status = 'cancelled'
      )
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
comment on column public.google_calendar_events.sync_status is 'pending, synced, removed or failed.';
comment on column public.google_calendar_events.last_error is 'Symbol of the last failure.';
comment on column public.google_calendar_events.created_at is 'When the row was made.';
