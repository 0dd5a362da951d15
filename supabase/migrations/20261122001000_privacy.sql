-- The baseline of supabase/schemas/90_privacy: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/90_privacy/tables.sql
-- The ledger, what is kept how long, the anonymous statistics, and calendar entries whose appointment is gone.
--
-- No role of the API reads or writes any of these tables; functions and triggers do.

create table private.audit_seals (
  id bigint primary key,
  entries integer not null check (entries > 0),
  previous_hash bytea not null check (length(previous_hash) = 32),
  hash bytea not null check (length(hash) = 32),
  sealed_at timestamptz not null
);
comment on table private.audit_seals is 'The hash chain over the ledger: each seal covers a batch of entries and the seal before it. Never changed.';
comment on column private.audit_seals.id is 'Without gaps, from 1.';
comment on column private.audit_seals.entries is 'How many entries it covers.';
comment on column private.audit_seals.previous_hash is 'Hash of the seal before; 32 zero bytes for the first.';
comment on column private.audit_seals.hash is 'SHA-256 of previous_hash, id, entries, sealed_at and the digests of its entries in the order of their ids.';
comment on column private.audit_seals.sealed_at is 'When it was made.';

create table private.audit_log (
  id bigint generated always as identity primary key,
  event text not null check (event ~ '^[a-z_]{3,40}$'),
  occurred_at timestamptz not null,
  facts jsonb not null default '{}',
  actor_id uuid,
  actor_salt bytea,
  actor_commitment bytea not null,
  subject_id uuid,
  detail jsonb,
  subject_salt bytea,
  subject_commitment bytea not null,
  digest bytea not null,
  seal_id bigint references private.audit_seals (id)
);
create index audit_log_unsealed_idx on private.audit_log (id) where seal_id is null;
create index audit_log_seal_id_idx on private.audit_log (seal_id) where seal_id is not null;
create index audit_log_actor_id_idx on private.audit_log (actor_id) where actor_id is not null;
create index audit_log_subject_id_idx on private.audit_log (subject_id) where subject_id is not null;
create index audit_log_occurred_at_idx on private.audit_log (occurred_at);
comment on table private.audit_log is 'The ledger: appended by triggers and functions, never changed or deleted. Who did it and whom it is about can be erased; the digest stays.';
comment on column private.audit_log.id is 'Key; with gaps, where a transaction was rolled back.';
comment on column private.audit_log.event is 'What happened, such as open_case.';
comment on column private.audit_log.occurred_at is 'When.';
comment on column private.audit_log.facts is 'What may be known for ever: states, counts and numbers of entries; nothing about a person.';
comment on column private.audit_log.actor_id is 'Who did it; null for time and the platform, and after erasure.';
comment on column private.audit_log.actor_salt is 'Random; goes with the actor, so that the commitment cannot be guessed.';
comment on column private.audit_log.actor_commitment is 'SHA-256 of actor_salt and actor_id.';
comment on column private.audit_log.subject_id is 'Whom it is about; null after erasure.';
comment on column private.audit_log.detail is 'Ids of rows, reasons; null after erasure.';
comment on column private.audit_log.subject_salt is 'Random; goes with the subject.';
comment on column private.audit_log.subject_commitment is 'SHA-256 of subject_salt, subject_id and detail.';
comment on column private.audit_log.digest is 'SHA-256 of id, event, occurred_at, facts and both commitments.';
comment on column private.audit_log.seal_id is 'The seal that covers it; null until the next batch.';

create table private.retention_settings (
  data_class text primary key,
  keep interval not null check (keep >= '0'),
  meaning text not null,
  checked_at timestamptz not null default '-infinity'
);
comment on table private.retention_settings is 'How long each class of data is kept. An operator sets keep; purge_expired obeys.';
comment on column private.retention_settings.data_class is 'Fixed names, known to purge_expired and has_case_access.';
comment on column private.retention_settings.keep is 'How long.';
comment on column private.retention_settings.meaning is 'From when it counts and what happens then.';
comment on column private.retention_settings.checked_at is 'When nothing due was left.';
insert into private.retention_settings (data_class, keep, meaning) values
  ('access_log', '5 years', 'After the opening, its entry is deleted.'),
  ('audit_payloads', '10 years', 'After the event, actor, subject and detail are erased; the sealed digest stays.'),
  ('bookings', '180 days', 'After the session, what an outside client told is deleted.'),
  ('calendar_tombstones', '7 days', 'After an erasure, entries that could not be taken out of somebody else''s calendar are given up.'),
  ('case_access', '30 days', 'After both sides have completed a case, its professional can open it no more.'),
  ('conversations', '1 year', 'After a case has ended, its messages and notes are deleted.'),
  ('notifications', '1 year', 'After it was made, a notification is deleted.'),
  ('reports', '2 years', 'After a report was archived or withdrawn, it loses everything that identifies a person.');

create table private.case_facts (
  id uuid primary key default gen_random_uuid(),
  month date not null check (extract(day from month) = 1),
  incident_type public.incident_type not null,
  urgency public.urgency_level not null,
  gender public.gender_type not null,
  age_category public.age_category,
  required_services public.service_type[] not null
);
create index case_facts_month_idx on private.case_facts (month);
comment on table private.case_facts is 'One anonymous row for each request for support, until its month is published; then the rows are deleted. No key, no day.';
comment on column private.case_facts.id is 'Random; of this row alone.';
comment on column private.case_facts.month is 'First day of the month in which support was asked for.';
comment on column private.case_facts.incident_type is 'Copied.';
comment on column private.case_facts.urgency is 'Copied.';
comment on column private.case_facts.gender is 'Copied.';
comment on column private.case_facts.age_category is 'Copied; null = not said.';
comment on column private.case_facts.required_services is 'Copied.';

create table private.published_statistics (
  month date not null,
  dimension text not null check (dimension in ('incident_type', 'urgency', 'gender', 'age_category', 'service_type')),
  value text not null,
  cases integer check (cases >= 5),
  primary key (month, dimension, value)
);
comment on table private.published_statistics is 'What case_statistics may ever say: counted once when a month is over, suppressed, and frozen. See docs/adr.';
comment on column private.published_statistics.month is 'First day of the month.';
comment on column private.published_statistics.dimension is 'By what is counted.';
comment on column private.published_statistics.value is 'One value of it; every value has a row.';
comment on column private.published_statistics.cases is 'At least 5; null = suppressed, be it small or the complement of a small one.';

create table private.calendar_tombstones (
  id uuid primary key default gen_random_uuid(),
  connection_id uuid not null references public.calendar_connections (id) on delete cascade,
  appointment_id uuid not null,
  external_event_id text check (length(external_event_id) <= 1024),
  etag text check (length(etag) <= 1024),
  created_at timestamptz not null
);
create index calendar_tombstones_connection_id_idx on private.calendar_tombstones (connection_id);
create index calendar_tombstones_created_at_idx on private.calendar_tombstones (created_at);
comment on table private.calendar_tombstones is 'A session with a professional whose account is erased, to be taken out of the survivor''s calendar; deleted when that is done, or after a week.';
comment on column private.calendar_tombstones.id is 'Key.';
comment on column private.calendar_tombstones.connection_id is 'The survivor''s calendar.';
comment on column private.calendar_tombstones.appointment_id is 'Names the entry; the appointment itself is gone.';
comment on column private.calendar_tombstones.external_event_id is 'The provider''s name of the entry, when it is known.';
comment on column private.calendar_tombstones.etag is 'The provider''s version of it.';
comment on column private.calendar_tombstones.created_at is 'When the account was erased.';

alter table private.outbox_jobs
  add column tombstone_id uuid
  constraint outbox_jobs_tombstone_id_fkey references private.calendar_tombstones (id) on delete set null;
create index outbox_jobs_tombstone_id_idx on private.outbox_jobs (tombstone_id) where tombstone_id is not null;
comment on column private.outbox_jobs.tombstone_id is 'The calendar entry to take out whose appointment is gone.';

-- supabase/schemas/90_privacy/audit_actor_commitment.sql
-- What binds a ledger entry to who did it, without saying who.
--
-- Called when an entry is written and when the ledger is verified. Without the salt nothing can be guessed from it.
-- Locks: none.

create or replace function private.audit_actor_commitment(entry private.audit_log)
returns bytea
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return sha256(entry.actor_salt || convert_to(coalesce(entry.actor_id::text, ''), 'UTF8'));
end;
$$;
comment on function private.audit_actor_commitment(private.audit_log) is 'SHA-256 of actor_salt and actor_id; null when the salt has been erased.';
revoke all on function private.audit_actor_commitment(private.audit_log) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/audit_digest.sql
-- The digest of a ledger entry: over what stays for ever and over the commitments to what can be erased.
--
-- Called when an entry is written and when the ledger is verified. The moment is counted in microseconds, because the
-- text of a timestamp depends on settings of the session. Locks: none.

create or replace function private.audit_digest(entry private.audit_log)
returns bytea
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return sha256(
    convert_to(
      entry.id || '|' || entry.event || '|' || (extract(epoch from entry.occurred_at) * 1000000)::bigint || '|' || entry.facts,
      'UTF8'
    )
    || entry.actor_commitment || entry.subject_commitment
  );
end;
$$;
comment on function private.audit_digest(private.audit_log) is 'SHA-256 of id, event, occurred_at, facts and both commitments.';
revoke all on function private.audit_digest(private.audit_log) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/audit_seal_hash.sql
-- The hash of a seal: over the seal before it and the digests of its entries.
--
-- Called when a seal is made and when the ledger is verified. Locks: none.

create or replace function private.audit_seal_hash(seal private.audit_seals)
returns bytea
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select sha256(
      seal.previous_hash
      || convert_to(
        seal.id || '|' || seal.entries || '|' || (extract(epoch from seal.sealed_at) * 1000000)::bigint, 'UTF8'
      )
      || coalesce(string_agg(e.digest, ''::bytea order by e.id), ''::bytea)
    )
    from private.audit_log as e
    where e.seal_id = seal.id
  );
end;
$$;
comment on function private.audit_seal_hash(private.audit_seals) is 'SHA-256 of previous_hash, id, entries, sealed_at and the digests of the entries that it covers.';
revoke all on function private.audit_seal_hash(private.audit_seals) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/audit_subject_commitment.sql
-- What binds a ledger entry to whom it is about and to its details, without saying them.
--
-- Called when an entry is written and when the ledger is verified. Without the salt nothing can be guessed from it.
-- Locks: none.

create or replace function private.audit_subject_commitment(entry private.audit_log)
returns bytea
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return sha256(
    entry.subject_salt
    || convert_to(coalesce(entry.subject_id::text, '') || '|' || coalesce(entry.detail::text, ''), 'UTF8')
  );
end;
$$;
comment on function private.audit_subject_commitment(private.audit_log) is 'SHA-256 of subject_salt, subject_id and detail; null when the salt has been erased.';
revoke all on function private.audit_subject_commitment(private.audit_log) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/bury_calendar_entries.sql
-- Before a professional's account goes: one job for each session to come that stands in a survivor's calendar.
--
-- Called by the erasure of an account, because the job that cancelling queued goes with the appointment. A tombstone waits
-- for a job that may just be writing the same entry, and for what an earlier attempt has sent. The person's own calendars
-- are emptied when their connections go. Locks: none.

create or replace function private.bury_calendar_entries(person_id uuid)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_buried integer;
begin
  with entries as materialized (
    select gen_random_uuid() as tombstone_id, a.appointment_id, c.id as connection_id, e.external_event_id, e.etag,
      private.doubtful_until(c.id, a.appointment_id) as doubtful_until,
      e.appointment_id is not null and e.sync_status <> 'removed' as stands
    from public.appointments as a
    join public.calendar_connections as c on c.user_id = a.survivor_id and c.status = 'active'
    left join public.calendar_events as e on e.appointment_id = a.appointment_id and e.connection_id = c.id
    where a.professional_id = person_id and a.appointment_date > v_now
  ),
  buried as (
    insert into private.calendar_tombstones (id, connection_id, appointment_id, external_event_id, etag, created_at)
    select b.tombstone_id, b.connection_id, b.appointment_id, b.external_event_id, b.etag, v_now
    from entries as b
    where b.stands or b.doubtful_until is not null
  )
  insert into private.outbox_jobs (kind, dedupe_key, connection_id, tombstone_id, run_at)
  select 'calendar_event', 'tombstone:' || b.tombstone_id, b.connection_id, b.tombstone_id, greatest(v_now, b.doubtful_until)
  from entries as b
  where b.stands or b.doubtful_until is not null;
  get diagnostics v_buried = row_count;
  return v_buried;
end;
$$;
comment on function private.bury_calendar_entries(uuid) is 'Writes tombstones and their jobs for the entries that lose their appointment; gives back how many.';
revoke all on function private.bury_calendar_entries(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/case_statistics.sql
-- How many requests for support there were, by month: only what was published, small cells and complements suppressed.
--
-- Called by administrators. Whole calendar months between the two days, the first and the last day included; so no
-- choice of days, and no second query, tells more than the published cells. Definer: the counts are private.

create or replace function private.case_statistics(from_date date, to_date date, dimension text)
returns table (month date, value text, cases integer)
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.require_admin();
  if from_date is null or to_date is null or not isfinite(from_date) or not isfinite(to_date) or from_date > to_date then
    perform private.raise_error('invalid_input', 'from_date and to_date: two days, in this order.');
  elsif dimension is null or dimension not in ('incident_type', 'urgency', 'gender', 'age_category', 'service_type') then
    perform private.raise_error('invalid_input', 'dimension: incident_type, urgency, gender, age_category or service_type.');
  end if;
  perform private.publish_statistics();
  return query
  select p.month, p.value, p.cases
  from private.published_statistics as p
  where p.dimension = case_statistics.dimension
    and p.month >= case_statistics.from_date
    and (p.month + interval '1 month')::date - 1 <= case_statistics.to_date
  order by p.month, p.value;
end;
$$;
comment on function private.case_statistics(date, date, text) is 'Definer: counts are private. The caller must be an administrator; gives back published cells only.';
revoke all on function private.case_statistics(date, date, text) from public, anon, authenticated, service_role;
grant execute on function private.case_statistics(date, date, text) to authenticated;

create or replace function public.case_statistics(from_date date, to_date date, dimension text)
returns table (month date, value text, cases integer)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return query
  select s.month, s.value, s.cases
  from private.case_statistics(case_statistics.from_date, case_statistics.to_date, case_statistics.dimension) as s;
end;
$$;
comment on function public.case_statistics(date, date, text) is
  'Administrator: requests for support by whole calendar month (UTC) between two days and by one dimension: incident_type, urgency, gender, age_category or service_type. → rows of month, value, cases; null = suppressed (small, or the complement of a small one). A month appears a day after its end and never changes. Errors: not_allowed, invalid_input.';
revoke all on function public.case_statistics(date, date, text) from public, anon, authenticated, service_role;
grant execute on function public.case_statistics(date, date, text) to anon, authenticated;

-- supabase/schemas/90_privacy/count_cases.sql
-- The true counts of one month, for every value of every dimension, zero included.
--
-- Called by publish_statistics only: these are not suppressed. A report that asks for several kinds of help counts for
-- each of them. Locks: none.

create or replace function private.count_cases(month date)
returns table (dimension text, value text, cases integer)
language sql
stable
security invoker
set search_path = ''
as $$
  with facts as (
    select f.* from private.case_facts as f where f.month = count_cases.month
  ),
  named as (
    select 'incident_type' as dimension, f.incident_type::text as value from facts as f
    union all
    select 'urgency', f.urgency::text from facts as f
    union all
    select 'gender', f.gender::text from facts as f
    union all
    select 'age_category', coalesce(f.age_category::text, 'not_said') from facts as f
    union all
    select 'service_type', s.name::text from facts as f cross join unnest(f.required_services) as s (name)
  ),
  possible as (
    select 'incident_type' as dimension, v::text as value from unnest(enum_range(null::public.incident_type)) as v
    union all
    select 'urgency', v::text from unnest(enum_range(null::public.urgency_level)) as v
    union all
    select 'gender', v::text from unnest(enum_range(null::public.gender_type)) as v
    union all
    select 'age_category', v::text from unnest(enum_range(null::public.age_category)) as v
    union all
    select 'age_category', 'not_said'
    union all
    select 'service_type', v::text from unnest(enum_range(null::public.service_type)) as v
  )
  select p.dimension, p.value, count(n.value)::integer
  from possible as p
  left join named as n on n.dimension = p.dimension and n.value = p.value
  group by p.dimension, p.value;
$$;
comment on function private.count_cases(date) is 'Unsuppressed counts of one month, from the facts that are not yet published.';
revoke all on function private.count_cases(date) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/erase_audit_payloads.sql
-- Erases a person from the ledger: where they acted, who it was; where it was about them, whom and what.
--
-- Called by the erasure of an account. The digests stay, so the chain still verifies; the numbers of the entries go into
-- an entry of their own, so that no erasure is silent. Locks: the entries.

create or replace function private.erase_audit_payloads(person_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_actors jsonb;
  v_subjects jsonb;
begin
  with erased as (
    update private.audit_log as e set actor_id = null, actor_salt = null where e.actor_id = person_id returning e.id
  )
  select coalesce(jsonb_agg(x.id order by x.id), '[]') into v_actors from erased as x;
  with erased as (
    update private.audit_log as e
    set subject_id = null, detail = null, subject_salt = null
    where e.subject_id = person_id
    returning e.id
  )
  select coalesce(jsonb_agg(x.id order by x.id), '[]') into v_subjects from erased as x;
  perform private.record_audit('payloads_erased', null, null, jsonb_build_object('actors', v_actors, 'subjects', v_subjects));
end;
$$;
comment on function private.erase_audit_payloads(uuid) is 'Removes the id and what was said about the person, and writes down from which entries.';
revoke all on function private.erase_audit_payloads(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/erase_my_data.sql
-- Somebody leaves: the account and everything about the person is deleted; anonymous statistics stay.
--
-- Called by any user, repeatedly without harm. Definer: Auth's users are not the caller's to delete. The trigger on the
-- profile does what foreign keys do not. Locks: see lock_parties_of, taken before the user's row so that nobody who holds
-- a professional waits for us in a circle.

create or replace function private.erase_my_data()
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
begin
  perform private.lock_parties_of(v_user_id);
  delete from auth.users as u where u.id = v_user_id;
end;
$$;
comment on function private.erase_my_data() is 'Definer: accounts belong to Auth. Deletes the caller''s own.';
revoke all on function private.erase_my_data() from public, anon, authenticated, service_role;
grant execute on function private.erase_my_data() to authenticated;

create or replace function public.erase_my_data()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  perform private.erase_my_data();
end;
$$;
comment on function public.erase_my_data() is
  'Any user: deletes the account and everything held about the caller, for good. Cases of a survivor end, those of a professional go to others; calendars are emptied by the worker. Anonymous statistics stay. Errors: not_authenticated.';
revoke all on function public.erase_my_data() from public, anon, authenticated, service_role;
grant execute on function public.erase_my_data() to anon, authenticated;

-- supabase/schemas/90_privacy/export_my_data.sql
-- Everything held about the caller, as one document.
--
-- Called by any user; each export stands in the ledger. Definer: part of it is in private tables. Left out: credentials and
-- hashes of tokens, and what belongs to somebody else alone (a professional's notes, another survivor's story). Locks:
-- none.

create or replace function private.export_my_data()
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_cases uuid[];
begin
  perform private.record_audit('data_exported', v_user_id, v_user_id);
  v_cases := private.readable_cases();
  return jsonb_build_object(
    'exported_at', private.clock(),
    'account', (
      select jsonb_build_object(
        'id', u.id, 'email', u.email, 'phone', u.phone, 'created_at', u.created_at, 'last_sign_in_at', u.last_sign_in_at,
        'user_metadata', u.raw_user_meta_data
      )
      from auth.users as u
      where u.id = v_user_id
    ),
    'profile', (select to_jsonb(p) from public.profiles as p where p.id = v_user_id),
    'professional', (select to_jsonb(p) from public.professionals as p where p.id = v_user_id),
    'support_services', (select coalesce(jsonb_agg(s), '[]') from public.support_services as s where s.professional_id = v_user_id),
    'verification_documents', (
      select coalesce(jsonb_agg(d), '[]') from public.verification_documents as d where d.professional_id = v_user_id
    ),
    'verification_decisions', (
      select coalesce(jsonb_agg(to_jsonb(d) - 'decided_by'), '[]')
      from public.verification_decisions as d
      where d.professional_id = v_user_id
    ),
    'reports', (select coalesce(jsonb_agg(r), '[]') from public.reports as r where r.user_id = v_user_id),
    'consents', (select coalesce(jsonb_agg(c), '[]') from public.consents as c where c.user_id = v_user_id),
    'blocked_professionals', (
      select coalesce(jsonb_agg(b), '[]') from public.blocked_professionals as b where b.survivor_id = v_user_id
    ),
    'matched_services', (
      select coalesce(jsonb_agg(m), '[]')
      from public.matched_services as m
      where m.professional_id = v_user_id or m.id = any (v_cases)
    ),
    'hand_overs', (
      select coalesce(jsonb_agg(h), '[]')
      from public.hand_overs as h
      where v_user_id in (h.survivor_id, h.from_professional_id)
    ),
    'appointments', (
      select coalesce(jsonb_agg(a), '[]') from public.appointments as a where v_user_id in (a.professional_id, a.survivor_id)
    ),
    'bookings', (
      select coalesce(jsonb_agg(c), '[]')
      from public.appointments as a
      join public.appointment_clients as c on c.appointment_id = a.appointment_id
      where a.survivor_id = v_user_id
    ),
    'availability', jsonb_build_object(
      'rules', (select coalesce(jsonb_agg(x), '[]') from public.availability_rules as x where x.professional_id = v_user_id),
      'exceptions', (
        select coalesce(jsonb_agg(x), '[]') from public.availability_exceptions as x where x.professional_id = v_user_id
      ),
      'preferences', (select to_jsonb(x) from public.scheduling_preferences as x where x.professional_id = v_user_id),
      'appointment_types', (
        select coalesce(jsonb_agg(x), '[]') from public.appointment_types as x where x.professional_id = v_user_id
      ),
      'busy', (select coalesce(jsonb_agg(x), '[]') from public.calendar_busy as x where x.professional_id = v_user_id)
    ),
    'messages', (
      select coalesce(jsonb_agg(w order by w.created_at), '[]')
      from public.messages as w
      where w.sender_id = v_user_id or w.matched_services = any (v_cases)
    ),
    'case_notes', (
      select coalesce(jsonb_agg(n), '[]')
      from public.case_notes as n
      where n.professional_id = v_user_id and n.matched_services = any (v_cases)
    ),
    'case_note_versions', (
      select coalesce(jsonb_agg(v), '[]')
      from public.case_notes as n
      join public.case_note_versions as v on v.note_id = n.id
      where n.professional_id = v_user_id and n.matched_services = any (v_cases)
    ),
    'undeliverable_addresses', (
      select coalesce(jsonb_agg(jsonb_build_object('created_at', u.created_at)), '[]')
      from private.undeliverable_addresses as u
      where u.user_id = v_user_id
    ),
    'notifications', (select coalesce(jsonb_agg(n), '[]') from public.notifications as n where n.user_id = v_user_id),
    'calendar_connections', (select coalesce(jsonb_agg(c), '[]') from public.calendar_connections as c where c.user_id = v_user_id),
    'calendar_events', (
      select coalesce(jsonb_agg(e), '[]')
      from public.calendar_connections as c
      join public.calendar_events as e on e.connection_id = c.id
      where c.user_id = v_user_id
    ),
    'cal_com', (select to_jsonb(c) from public.cal_com_connections as c where c.professional_id = v_user_id),
    'access_log', (
      select coalesce(jsonb_agg(to_jsonb(e) - 'survivor_id'), '[]')
      from private.access_log_entries as e
      where e.survivor_id = v_user_id
    ),
    'ledger', (
      select coalesce(jsonb_agg(
        jsonb_build_object(
          'event', e.event, 'occurred_at', e.occurred_at, 'facts', e.facts, 'by_me', e.actor_id = v_user_id,
          'detail', case when e.subject_id = v_user_id then e.detail end
        )
        order by e.id
      ), '[]')
      from private.audit_log as e
      where e.subject_id = v_user_id or e.actor_id = v_user_id
    )
  );
end;
$$;
comment on function private.export_my_data() is 'Definer: part of it is in private tables. Everything about the caller and nobody else''s secrets; written to the ledger.';
revoke all on function private.export_my_data() from public, anon, authenticated, service_role;
grant execute on function private.export_my_data() to authenticated;

create or replace function public.export_my_data()
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.export_my_data();
end;
$$;
comment on function public.export_my_data() is 'Any user: everything held about the caller, by table. → jsonb. Errors: not_authenticated.';
revoke all on function public.export_my_data() from public, anon, authenticated, service_role;
grant execute on function public.export_my_data() to anon, authenticated;

-- supabase/schemas/90_privacy/lock_parties_of.sql
-- Locks everybody whose cases change when an account goes, in the one order of all locks.
--
-- Called by erase_my_data before it deletes the user, and again by the trigger on the profile. Locks: the professionals
-- who ever had an offer of the person's reports, and the person, if a professional, in the order of their ids; then the
-- person's profile.

create or replace function private.lock_parties_of(person_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform 1
  from public.professionals as p
  where p.id = person_id or p.id in (
    select m.professional_id
    from public.reports as r
    join public.matched_services as m on m.report_id = r.report_id
    where r.user_id = person_id
    union all
    select a.professional_id from public.appointments as a where a.survivor_id = person_id
  )
  order by p.id
  for no key update;
  perform 1 from public.profiles as p where p.id = person_id for no key update;
end;
$$;
comment on function private.lock_parties_of(uuid) is 'Takes the locks of an erasure.';
revoke all on function private.lock_parties_of(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/publish_statistics.sql
-- Publishes the months that are over, once and for ever, and deletes the facts that they were counted from.
--
-- Called by run_due_timers and case_statistics. Hidden in each dimension of a month: every cell below 5, zero too, and
-- then further cells from the smallest up until the hidden ones add up to 5 at least. Whatever can be computed from what
-- is left is a cell or a sum of at least 5 (docs/adr/0007-statistics-are-published-once.md). Locks: an advisory lock.

create or replace function private.publish_statistics()
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  -- A transaction that began before midnight may still count for the month: wait a day.
  v_running date := date_trunc('month', private.clock() at time zone 'UTC' - interval '1 day');
  v_month date;
  v_published integer := 0;
begin
  if not exists (select 1 from private.case_facts as f where f.month < v_running) then
    return 0;
  end if;
  perform pg_advisory_xact_lock(hashtextextended('sauti.publish_statistics', 0));
  for v_month in
    select distinct f.month from private.case_facts as f where f.month < v_running order by f.month
  loop
    insert into private.published_statistics (month, dimension, value, cases)
    select v_month, c.dimension, c.value,
      case
        when c.cases >= 5 and (c.smallest >= 5 or c.smaller >= 5) then c.cases
      end
    from (
      select n.dimension, n.value, n.cases,
        min(n.cases) over (partition by n.dimension) as smallest,
        coalesce(sum(n.cases) over (
          partition by n.dimension order by n.cases, n.value rows between unbounded preceding and 1 preceding
        ), 0) as smaller
      from private.count_cases(v_month) as n
    ) as c
    on conflict on constraint published_statistics_pkey do nothing;
    delete from private.case_facts as f where f.month = v_month;
    v_published := v_published + 1;
  end loop;
  return v_published;
end;
$$;
comment on function private.publish_statistics() is 'Freezes the suppressed counts of every month that ended a day ago or earlier; gives back how many months.';
revoke all on function private.publish_statistics() from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/purge_access_log.sql
-- Old entries of the survivors' access log go; the ledger keeps its own.
--
-- Called by purge_expired. Locks: the rows that go, skipping locked ones.

create or replace function private.purge_access_log(cutoff timestamptz, max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from private.access_log_entries as e
  where e.id = any (array(
    select x.id from private.access_log_entries as x where x.opened_at < cutoff order by x.id limit max_rows for update skip locked
  ));
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.purge_access_log(timestamptz, integer) is 'Deletes at most max_rows entries of before cutoff; gives back how many.';
revoke all on function private.purge_access_log(timestamptz, integer) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/purge_audit_payloads.sql
-- Old ledger entries forget whom they were about; the sealed digests stay, and the erasure is written down.
--
-- Called by purge_expired. Locks: the entries, skipping locked ones.

create or replace function private.purge_audit_payloads(cutoff timestamptz, max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_entries jsonb;
begin
  with erased as (
    update private.audit_log as e
    set actor_id = null, actor_salt = null, subject_id = null, detail = null, subject_salt = null
    where e.id = any (array(
      select x.id
      from private.audit_log as x
      where x.occurred_at < cutoff and (x.actor_id is not null or x.subject_id is not null or x.detail is not null)
      order by x.occurred_at
      limit max_rows
      for update skip locked
    ))
    returning e.id
  )
  select jsonb_agg(x.id order by x.id) into v_entries from erased as x;
  if v_entries is null then
    return 0;
  end if;
  perform private.record_audit('payloads_erased', null, null, jsonb_build_object('actors', v_entries, 'subjects', v_entries));
  return jsonb_array_length(v_entries);
end;
$$;
comment on function private.purge_audit_payloads(timestamptz, integer) is 'Erases actor, subject and detail of at most max_rows entries of before cutoff; gives back how many.';
revoke all on function private.purge_audit_payloads(timestamptz, integer) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/purge_bookings.sql
-- What outside clients told goes some time after their session; the appointment stays.
--
-- Called by purge_expired. Locks: the rows that go, skipping locked ones.

create or replace function private.purge_bookings(cutoff timestamptz, max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from public.appointment_clients as c
  where c.appointment_id = any (array(
    select x.appointment_id
    from public.appointment_clients as x
    join public.appointments as a on a.appointment_id = x.appointment_id
    where a.appointment_date < cutoff
    limit max_rows
    for update of x skip locked
  ));
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.purge_bookings(timestamptz, integer) is 'Deletes the details of at most max_rows clients of sessions before cutoff; gives back how many.';
revoke all on function private.purge_bookings(timestamptz, integer) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/purge_calendar_tombstones.sql
-- Entries that could not be taken out of a calendar for a week are given up.
--
-- Called by purge_expired. Locks: the rows that go, skipping locked ones.

create or replace function private.purge_calendar_tombstones(cutoff timestamptz, max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from private.calendar_tombstones as t
  where t.id = any (array(
    select x.id from private.calendar_tombstones as x where x.created_at < cutoff limit max_rows for update skip locked
  ));
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.purge_calendar_tombstones(timestamptz, integer) is 'Deletes at most max_rows tombstones of before cutoff; gives back how many.';
revoke all on function private.purge_calendar_tombstones(timestamptz, integer) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/purge_conversations.sql
-- Messages and notes of cases that ended long ago go.
--
-- Called by purge_expired. Case by case, so that a conversation is never cut in half. Locks: the rows that go.

create or replace function private.purge_conversations(cutoff timestamptz, max_cases integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_cases uuid[] := array(
    select m.id
    from public.matched_services as m
    where m.closed_at < cutoff
      and (
        exists (select 1 from public.messages as w where w.matched_services = m.id)
        or exists (select 1 from public.case_notes as n where n.matched_services = m.id)
      )
    order by m.closed_at
    limit max_cases
  );
begin
  delete from public.messages as w where w.matched_services = any (v_cases);
  delete from public.case_notes as n where n.matched_services = any (v_cases);
  return cardinality(v_cases);
end;
$$;
comment on function private.purge_conversations(timestamptz, integer) is 'Deletes the messages and notes of at most max_cases cases that ended before cutoff; gives back how many cases.';
revoke all on function private.purge_conversations(timestamptz, integer) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/purge_expired.sql
-- Obeys retention: what is kept no longer goes, in small batches.
--
-- Called by run_due_timers at every poll; each class of data is looked at until a batch is not full, and then again after
-- a quarter of an hour. What was done stands in the ledger, by numbers. Locks: the rows that go, skipping locked ones.

create or replace function private.purge_expired(max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_class record;
  v_count integer;
  v_total integer := 0;
  v_report jsonb := '{}';
begin
  for v_class in
    select s.data_class, v_now - s.keep as cutoff
    from private.retention_settings as s
    where s.checked_at + interval '15 minutes' <= v_now
    order by s.data_class
  loop
    v_count := case v_class.data_class
      when 'access_log' then private.purge_access_log(v_class.cutoff, max_rows)
      when 'audit_payloads' then private.purge_audit_payloads(v_class.cutoff, max_rows)
      when 'bookings' then private.purge_bookings(v_class.cutoff, max_rows)
      when 'calendar_tombstones' then private.purge_calendar_tombstones(v_class.cutoff, max_rows)
      when 'conversations' then private.purge_conversations(v_class.cutoff, max_rows)
      when 'notifications' then private.purge_notifications(v_class.cutoff, max_rows)
      when 'reports' then private.purge_reports(v_class.cutoff, max_rows)
      else 0
    end;
    if v_count < max_rows then
      update private.retention_settings as s set checked_at = v_now where s.data_class = v_class.data_class;
    end if;
    if v_count > 0 then
      v_report := v_report || jsonb_build_object(v_class.data_class, v_count);
      v_total := v_total + v_count;
    end if;
  end loop;
  if v_total > 0 then
    perform private.record_audit('retention_applied', null, null, v_report);
  end if;
  return v_total;
end;
$$;
comment on function private.purge_expired(integer) is 'Purges at most max_rows rows of each class that is due; gives back how many, and writes the numbers by class to the ledger.';
revoke all on function private.purge_expired(integer) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/purge_notifications.sql
-- Old notifications go, and the jobs that carried them.
--
-- Called by purge_expired. Locks: the rows that go, skipping locked ones.

create or replace function private.purge_notifications(cutoff timestamptz, max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from public.notifications as n
  where n.id = any (array(
    select x.id from public.notifications as x where x.created_at < cutoff order by x.created_at limit max_rows for update skip locked
  ));
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.purge_notifications(timestamptz, integer) is 'Deletes at most max_rows notifications of before cutoff; gives back how many.';
revoke all on function private.purge_notifications(timestamptz, integer) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/purge_reports.sql
-- Reports that ended long ago lose everything that identifies a person; what is left can be counted and no more.
--
-- Called by purge_expired. The case code changes too, because calendars still know the old one; and what the offers, the
-- sessions and the access log of the report say in free words goes. Locks: the reports, skipping locked ones.

create or replace function private.purge_reports(cutoff timestamptz, max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_reports uuid[] := array(
    select r.report_id
    from public.reports as r
    where r.status in ('archived', 'withdrawn') and r.anonymised_at is null
      and coalesce(
        (select max(c.withdrawn_at) from public.consents as c where c.report_id = r.report_id and r.status = 'withdrawn'),
        r.archived_at, r.created_at
      ) < cutoff
    order by r.archived_at
    limit max_rows
    for no key update of r skip locked
  );
begin
  update public.reports as r
  set anonymised_at = private.clock(), case_code = private.new_case_code(), incident_description = null, incident_date = null,
    survivor_name = null, contact_email = null, contact_phone = null, contact_preference = 'do_not_contact',
    safe_contact_from = null, safe_contact_until = null, emergency_contact = null, preferred_language = null,
    preferred_professional_gender = null, special_needs = '{}', consent_location = false, latitude = null, longitude = null
  where r.report_id = any (v_reports);
  update public.matched_services as m
  set decline_reason = null
  where m.report_id = any (v_reports) and m.decline_reason is not null;
  update public.appointments as a
  set meeting_url = null, location = null, cancel_reason = null
  from public.matched_services as m
  where m.report_id = any (v_reports) and a.matched_services = m.id and a.status not in ('requested', 'confirmed')
    and (a.meeting_url is not null or a.location is not null or a.cancel_reason is not null);
  update private.access_log_entries as e
  set reason = null
  where e.report_id = any (v_reports) and e.reason is not null;
  return cardinality(v_reports);
end;
$$;
comment on function private.purge_reports(timestamptz, integer) is 'Anonymises at most max_rows reports that were archived or withdrawn before cutoff; gives back how many.';
revoke all on function private.purge_reports(timestamptz, integer) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/record_audit.sql
-- Appends one entry to the ledger, in the transaction of what it tells.
--
-- Called by triggers and functions, with the rights of those definers. The trigger on the table adds salts, commitments
-- and digest. Locks: none, so writers never wait for each other; seal_audit_log chains the entries later.

create or replace function private.record_audit(
  event text, actor_id uuid, subject_id uuid, facts jsonb default '{}', detail jsonb default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  insert into private.audit_log (event, occurred_at, facts, actor_id, subject_id, detail)
  values (
    record_audit.event, private.clock(), record_audit.facts, record_audit.actor_id, record_audit.subject_id,
    record_audit.detail
  );
end;
$$;
comment on function private.record_audit(text, uuid, uuid, jsonb, jsonb) is 'facts stay for ever and hold nothing about a person; actor, subject and detail (ids, reasons) can be erased.';
revoke all on function private.record_audit(text, uuid, uuid, jsonb, jsonb) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/rewrite_calendar_entries.sql
-- After a survivor's account has gone: one job for each past session that stands in a professional's calendar.
--
-- Called by the erasure of an account. The professional keeps the hour and loses the case code, which is the survivor's:
-- when the job runs, the appointment belongs to no case any more. Sessions to come are cancelled, and cancelling takes
-- their entries out. Locks: the entries.

create or replace function private.rewrite_calendar_entries(person_id uuid)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_rewritten integer;
begin
  with entries as (
    update public.calendar_events as e
    set synced_sequence = a.sequence - 1
    from public.appointments as a, public.calendar_connections as c
    where a.survivor_id = person_id and a.matched_services is not null and a.status <> 'cancelled'
      and e.appointment_id = a.appointment_id and e.sync_status = 'synced'
      and c.id = e.connection_id and c.user_id <> person_id and c.status = 'active'
    returning e.appointment_id, e.connection_id
  )
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, connection_id, run_at)
  select 'calendar_event', 'rewrite:' || e.appointment_id || ':' || e.connection_id,
    'calendar:' || e.appointment_id || ':' || e.connection_id, e.appointment_id, e.connection_id, private.clock()
  from entries as e;
  get diagnostics v_rewritten = row_count;
  return v_rewritten;
end;
$$;
comment on function private.rewrite_calendar_entries(uuid) is 'Queues what takes a survivor''s case code out of the calendars of others; gives back how many entries.';
revoke all on function private.rewrite_calendar_entries(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/seal_audit_log.sql
-- Seals the ledger entries that are committed and not yet sealed, as one batch.
--
-- Called by run_due_timers. Entries of transactions that still run are not seen and belong to a later batch, whatever
-- their ids; so nobody who writes ever waits. One sealer at a time, by an advisory lock; rows being erased are skipped.

create or replace function private.seal_audit_log(max_entries integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_entries bigint[];
  v_seal private.audit_seals;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('sauti.seal_audit_log', 0)) then
    return 0;
  end if;
  v_entries := array(
    select e.id from private.audit_log as e where e.seal_id is null order by e.id limit max_entries for update skip locked
  );
  if cardinality(v_entries) = 0 then
    return 0;
  end if;
  select s.id + 1, s.hash into v_seal.id, v_seal.previous_hash from private.audit_seals as s order by s.id desc limit 1;
  if not found then
    v_seal.id := 1;
    v_seal.previous_hash := decode(repeat('00', 32), 'hex');
  end if;
  v_seal.entries := cardinality(v_entries);
  v_seal.sealed_at := private.clock();
  -- The hash covers exactly the entries of this list, in their order, so it can be taken before they name the seal.
  v_seal.hash := (
    select sha256(
      v_seal.previous_hash
      || convert_to(
        v_seal.id || '|' || v_seal.entries || '|' || (extract(epoch from v_seal.sealed_at) * 1000000)::bigint, 'UTF8'
      )
      || string_agg(e.digest, ''::bytea order by e.id)
    )
    from private.audit_log as e
    where e.id = any (v_entries)
  );
  insert into private.audit_seals (id, entries, previous_hash, hash, sealed_at)
  values (v_seal.id, v_seal.entries, v_seal.previous_hash, v_seal.hash, v_seal.sealed_at);
  update private.audit_log as e set seal_id = v_seal.id where e.id = any (v_entries);
  return v_seal.entries;
end;
$$;
comment on function private.seal_audit_log(integer) is 'Chains at most max_entries unsealed entries; gives back how many.';
revoke all on function private.seal_audit_log(integer) from public, anon, authenticated, service_role;

-- supabase/schemas/90_privacy/tg_appointments__record_status.sql
-- Each change of an appointment's status goes into the ledger.
--
-- Called by: update on public.appointments. Definer: nobody writes the ledger. Locks: none.

create or replace function private.tg_appointments__record_status()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_audit(
    'appointment_status', auth.uid(), new.survivor_id, jsonb_build_object('from', old.status, 'to', new.status),
    jsonb_build_object('appointment_id', new.appointment_id)
  );
  return null;
end;
$$;
comment on function private.tg_appointments__record_status() is 'Definer: nobody writes the ledger. Records appointment_status with its old and new state.';
revoke all on function private.tg_appointments__record_status() from public, anon, authenticated, service_role;

create trigger _800_record_status
after update of status on public.appointments
for each row
when (old.status <> new.status)
execute function private.tg_appointments__record_status();

-- supabase/schemas/90_privacy/tg_audit_log__commit.sql
-- Completes a new ledger entry: fresh salts, commitments, digest; not yet sealed.
--
-- Called by: insert on private.audit_log. What a writer gives for these columns is ignored. Locks: none.

create or replace function private.tg_audit_log__commit()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  new.actor_salt := extensions.gen_random_bytes(16);
  new.subject_salt := extensions.gen_random_bytes(16);
  new.actor_commitment := private.audit_actor_commitment(new);
  new.subject_commitment := private.audit_subject_commitment(new);
  new.digest := private.audit_digest(new);
  new.seal_id := null;
  return new;
end;
$$;
comment on function private.tg_audit_log__commit() is 'Fills salts, commitments and digest.';
revoke all on function private.tg_audit_log__commit() from public, anon, authenticated, service_role;

create trigger _100_commit
before insert on private.audit_log
for each row execute function private.tg_audit_log__commit();

-- supabase/schemas/90_privacy/tg_audit_log__guard.sql
-- The ledger is append-only for every role: an entry can be sealed once, and what it says about people be erased.
--
-- Called by: update, delete and truncate on private.audit_log. An erasure that was not written down itself is found by
-- verify_audit_log. Locks: none.

create or replace function private.tg_audit_log__guard()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE'
    and (new.id, new.event, new.occurred_at, new.facts, new.actor_commitment, new.subject_commitment, new.digest)
      = (old.id, old.event, old.occurred_at, old.facts, old.actor_commitment, old.subject_commitment, old.digest)
    and (old.seal_id is null or new.seal_id = old.seal_id)
    and (
      (new.actor_id, new.actor_salt) is not distinct from (old.actor_id, old.actor_salt)
      or (new.actor_id is null and new.actor_salt is null)
    )
    and (
      (new.subject_id, new.detail, new.subject_salt) is not distinct from (old.subject_id, old.detail, old.subject_salt)
      or (new.subject_id is null and new.detail is null and new.subject_salt is null)
    )
  then
    return new;
  end if;
  perform private.raise_error('not_allowed', 'The ledger is append-only.', 'Append another entry.');
  return null;
end;
$$;
comment on function private.tg_audit_log__guard() is 'Raises not_allowed for every change but sealing and erasing.';
revoke all on function private.tg_audit_log__guard() from public, anon, authenticated, service_role;

create trigger _100_guard
before update or delete on private.audit_log
for each row execute function private.tg_audit_log__guard();

create trigger _100_guard_all
before truncate on private.audit_log
for each statement execute function private.tg_audit_log__guard();

-- supabase/schemas/90_privacy/tg_audit_seals__guard.sql
-- A seal is for ever.
--
-- Called by: update, delete and truncate on private.audit_seals, for every role. Locks: none.

create or replace function private.tg_audit_seals__guard()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.raise_error('not_allowed', 'The ledger is append-only.', 'Append another entry.');
  return null;
end;
$$;
comment on function private.tg_audit_seals__guard() is 'Raises not_allowed.';
revoke all on function private.tg_audit_seals__guard() from public, anon, authenticated, service_role;

create trigger _100_guard
before update or delete on private.audit_seals
for each row execute function private.tg_audit_seals__guard();

create trigger _100_guard_all
before truncate on private.audit_seals
for each statement execute function private.tg_audit_seals__guard();

-- supabase/schemas/90_privacy/tg_consents__record_change.sql
-- A consent that is given or withdrawn stands in the ledger.
--
-- Called by: insert and update on public.consents. Definer: nobody writes the ledger. Locks: none.

create or replace function private.tg_consents__record_change()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_audit(
    case tg_op when 'INSERT' then 'consent_given' else 'consent_withdrawn' end, auth.uid(), new.user_id,
    jsonb_build_object('purpose', new.purpose, 'text_version', new.text_version),
    jsonb_build_object('report_id', new.report_id)
  );
  return null;
end;
$$;
comment on function private.tg_consents__record_change() is 'Definer: nobody writes the ledger. Records consent_given and consent_withdrawn.';
revoke all on function private.tg_consents__record_change() from public, anon, authenticated, service_role;

create trigger _800_record_given
after insert on public.consents
for each row execute function private.tg_consents__record_change();

create trigger _800_record_withdrawn
after update of withdrawn_at on public.consents
for each row
when (old.withdrawn_at is null and new.withdrawn_at is not null)
execute function private.tg_consents__record_change();

-- supabase/schemas/90_privacy/tg_matched_services__record_status.sql
-- Each change of an offer's status goes into the ledger.
--
-- Called by: update on public.matched_services. Definer: nobody writes the ledger. Locks: none.

create or replace function private.tg_matched_services__record_status()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_audit(
    'offer_status', auth.uid(), r.user_id, jsonb_build_object('from', old.match_status_type, 'to', new.match_status_type),
    jsonb_build_object('match_id', new.id, 'report_id', new.report_id)
  )
  from public.reports as r
  where r.report_id = new.report_id;
  return null;
end;
$$;
comment on function private.tg_matched_services__record_status() is 'Definer: nobody writes the ledger. Records offer_status with its old and new state.';
revoke all on function private.tg_matched_services__record_status() from public, anon, authenticated, service_role;

create trigger _800_record_status
after update of match_status_type on public.matched_services
for each row
when (old.match_status_type <> new.match_status_type)
execute function private.tg_matched_services__record_status();

-- supabase/schemas/90_privacy/tg_professionals__record_status.sql
-- Each change of verification goes into the ledger, by whatever hand.
--
-- Called by: update on public.professionals. Definer: nobody writes the ledger. Locks: none.

create or replace function private.tg_professionals__record_status()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_audit(
    'verification_status', auth.uid(), new.id,
    jsonb_build_object('of', 'professionals', 'from', old.verification_status, 'to', new.verification_status)
  );
  return null;
end;
$$;
comment on function private.tg_professionals__record_status() is 'Definer: nobody writes the ledger. Records verification_status with its old and new state.';
revoke all on function private.tg_professionals__record_status() from public, anon, authenticated, service_role;

create trigger _800_record_status
after update of verification_status on public.professionals
for each row
when (old.verification_status <> new.verification_status)
execute function private.tg_professionals__record_status();

-- supabase/schemas/90_privacy/tg_profiles__erase_traces.sql
-- An account goes, by whatever hand: cases are ended or handed over first, and everything that would outlive it is erased.
--
-- Called by: delete on public.profiles, also when Auth deletes the user. What hangs on the profile goes with it by foreign
-- keys; here is the rest. Definer: it acts on the cases of others. Locks: professionals in the order of their ids, then
-- reports.

create or replace function private.tg_profiles__erase_traces()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_offer record;
  v_locked record;
  v_report public.reports;
  v_reports integer := 0;
  v_cases uuid[];
  v_key uuid := gen_random_uuid();
begin
  perform private.lock_parties_of(old.id);

  -- As a professional: nobody is offered to them any more, open offers are replaced, accepted cases go to others.
  delete from private.matching_lanes as l where l.professional_id = old.id;
  for v_offer in
    select m.id, m.service_type
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.professional_id = old.id and m.match_status_type = 'pending'
    order by r.user_id, r.report_id, m.id
  loop
    select * into v_locked from private.lock_match(v_offer.id);
    update public.matched_services as m
    set match_status_type = 'withdrawn', closed_at = v_now
    where m.id = v_offer.id and m.match_status_type = 'pending';
    if found then
      perform private.replace_offer(v_locked.report, v_offer.service_type);
    end if;
  end loop;
  perform private.release_cases(old.id);

  -- As a survivor: reports end, future sessions are cancelled.
  for v_report in
    select r.* from public.reports as r where r.user_id = old.id order by r.report_id for no key update
  loop
    v_reports := v_reports + 1;
    if v_report.status <> 'withdrawn' then
      perform private.end_report(v_report);
    end if;
  end loop;
  update public.appointments as a
  set status = 'cancelled', cancelled_by = old.id
  where a.survivor_id = old.id and a.status in ('requested', 'confirmed') and a.appointment_date > v_now;
  -- The other side must still hear that the session is cancelled when the offer it belonged to is gone.
  v_cases := array(
    select m.id
    from public.reports as r
    join public.matched_services as m on m.report_id = r.report_id
    where r.user_id = old.id
  );
  update public.notifications as n
  set matched_services = null
  where n.matched_services = any (v_cases) and n.user_id <> old.id and n.kind = 'appointment_cancelled';

  -- What others keep says nothing about the person any more.
  delete from public.appointment_clients as c
  using public.appointments as a
  where a.survivor_id = old.id and c.appointment_id = a.appointment_id;
  update public.appointments as a
  set meeting_url = null, location = null, cancel_reason = null, appointment_type = 'session'
  where a.survivor_id = old.id;
  perform private.bury_calendar_entries(old.id);
  perform private.rewrite_calendar_entries(old.id);
  -- While the appointments still stand: what is in the person's calendars is told to the worker when a connection goes.
  delete from public.calendar_connections as c where c.user_id = old.id;
  -- The worker finds a CalDAV calendar by its credentials. A host of its own: no dead one holds up another's cleaning.
  update private.calendar_retirements as t
  set account_label = 'erased',
    calendar_id = case t.provider when 'caldav' then 'erased://' || v_key else t.calendar_id end
  where t.user_id = old.id;
  -- Calendars of one account still wait for each other: giving the access of one back closes them all.
  update private.outbox_jobs as j
  set ordering_key = 'disconnect:erased:' || v_key || substr(j.ordering_key, length('disconnect:' || old.id) + 1)
  where j.kind = 'calendar_disconnect' and starts_with(j.ordering_key, 'disconnect:' || old.id || ':');
  update realtime.messages as m
  set topic = 'erased', payload = '{}'
  where m.topic = 'user:' || old.id;
  delete from auth.audit_log_entries as e
  where e.payload ->> 'actor_id' = old.id::text or e.payload #>> '{traits,user_id}' = old.id::text;
  perform private.record_audit(
    'account_erased', null, null, jsonb_build_object('user_type', old.user_type, 'reports', v_reports)
  );
  perform private.erase_audit_payloads(old.id);

  -- Offers of a service keep it from going, and foreign keys are followed in no order that suits a row which hangs on two
  -- that go. Everything else follows the profile by itself.
  delete from public.matched_services as m
  where m.professional_id = old.id or m.id = any (v_cases);
  update public.appointments as a set survivor_id = null where a.survivor_id = old.id;
  update public.appointments as a set cancelled_by = null where a.cancelled_by = old.id;
  return old;
end;
$$;
comment on function private.tg_profiles__erase_traces() is 'Definer: acts on the cases of others, the ledger and the outbox. Ends or hands over cases and erases what would stay.';
revoke all on function private.tg_profiles__erase_traces() from public, anon, authenticated, service_role;

create trigger _100_erase_traces
before delete on public.profiles
for each row execute function private.tg_profiles__erase_traces();

-- supabase/schemas/90_privacy/tg_profiles__record_role.sql
-- Who becomes an administrator, or stops being one, stands in the ledger, by whatever hand it was done.
--
-- Called by: update on public.profiles. Definer: nobody writes the ledger. Locks: none.

create or replace function private.tg_profiles__record_role()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_audit(
    'role_changed', auth.uid(), new.id, jsonb_build_object('from', old.user_type, 'to', new.user_type)
  );
  return null;
end;
$$;
comment on function private.tg_profiles__record_role() is 'Definer: nobody writes the ledger. Records role_changed with the old and the new user type.';
revoke all on function private.tg_profiles__record_role() from public, anon, authenticated, service_role;

create trigger _800_record_role
after update of user_type on public.profiles
for each row
when (old.user_type <> new.user_type)
execute function private.tg_profiles__record_role();

-- supabase/schemas/90_privacy/tg_reports__count_case.sql
-- A request for support is counted for the statistics: anonymous facts and the month, nothing that leads back.
--
-- Called by: insert and update on public.reports, once for each report that may be shared. Definer: the facts are
-- private. A row of its own instead of a counter, because reports filed at once must not wait for each other.

create or replace function private.tg_reports__count_case()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  insert into private.case_facts (month, incident_type, urgency, gender, age_category, required_services)
  values (
    date_trunc('month', private.clock() at time zone 'UTC')::date, new.incident_type, new.urgency, new.gender,
    new.age_category, new.required_services
  );
  return null;
end;
$$;
comment on function private.tg_reports__count_case() is 'Definer: the facts of the statistics are private. Copies the masked facts and the month.';
revoke all on function private.tg_reports__count_case() from public, anon, authenticated, service_role;

create trigger _800_count_case_insert
after insert on public.reports
for each row
when (new.status = 'pending')
execute function private.tg_reports__count_case();

create trigger _800_count_case_update
after update of status on public.reports
for each row
when (old.status = 'recorded' and new.status = 'pending')
execute function private.tg_reports__count_case();

-- supabase/schemas/90_privacy/tg_reports__record_status.sql
-- Each change of a report's status goes into the ledger.
--
-- Called by: update on public.reports. Definer: nobody writes the ledger. Locks: none.

create or replace function private.tg_reports__record_status()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_audit(
    'report_status', auth.uid(), new.user_id, jsonb_build_object('from', old.status, 'to', new.status),
    jsonb_build_object('report_id', new.report_id)
  );
  return null;
end;
$$;
comment on function private.tg_reports__record_status() is 'Definer: nobody writes the ledger. Records report_status with its old and new state.';
revoke all on function private.tg_reports__record_status() from public, anon, authenticated, service_role;

create trigger _800_record_status
after update of status on public.reports
for each row
when (old.status <> new.status)
execute function private.tg_reports__record_status();

-- supabase/schemas/90_privacy/tg_support_services__record_status.sql
-- Each change of verification goes into the ledger, by whatever hand.
--
-- Called by: update on public.support_services. Definer: nobody writes the ledger. Locks: none.

create or replace function private.tg_support_services__record_status()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_audit(
    'verification_status', auth.uid(), new.professional_id,
    jsonb_build_object('of', 'support_services', 'from', old.verification_status, 'to', new.verification_status),
    jsonb_build_object('service_id', new.id)
  );
  return null;
end;
$$;
comment on function private.tg_support_services__record_status() is 'Definer: nobody writes the ledger. Records verification_status with its old and new state.';
revoke all on function private.tg_support_services__record_status() from public, anon, authenticated, service_role;

create trigger _800_record_status
after update of verification_status on public.support_services
for each row
when (old.verification_status <> new.verification_status)
execute function private.tg_support_services__record_status();

-- supabase/schemas/90_privacy/tombstone_context.sql
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

-- supabase/schemas/90_privacy/verify_audit_log.sql
-- Finds every trace of tampering with the ledger: changed, added, removed or silently erased entries, broken seals.
--
-- Called by operators, as postgres; an untouched ledger gives no rows. Whoever can write as superuser could compute the
-- whole chain anew: against that, note the newest seal elsewhere and pass it as anchor. Locks: none.

create or replace function private.verify_audit_log(anchor_id bigint default null, anchor_hash bytea default null)
returns table (problem text, seal_id bigint, entry_id bigint)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return query
  with seals as materialized (
    select s, s.id, lag(s.id) over (order by s.id) as previous_id, lag(s.hash) over (order by s.id) as previous_hash
    from private.audit_seals as s
  ),
  erased as materialized (
    select part.key as part, listed.id::bigint as id
    from private.audit_log as e
    cross join lateral jsonb_each(e.facts) as part (key, ids)
    cross join lateral jsonb_array_elements_text(part.ids) as listed (id)
    where e.event = 'payloads_erased' and part.key in ('actors', 'subjects')
  )
  select 'entry_changed', e.seal_id, e.id
  from private.audit_log as e
  where e.digest <> private.audit_digest(e)
    or e.actor_commitment <> private.audit_actor_commitment(e)
    or e.subject_commitment <> private.audit_subject_commitment(e)
    or (e.actor_salt is null and e.actor_id is not null)
    or (e.subject_salt is null and (e.subject_id is not null or e.detail is not null))
  union all
  select 'erased_without_record', e.seal_id, e.id
  from private.audit_log as e
  where (e.actor_salt is null and not exists (select 1 from erased as x where x.part = 'actors' and x.id = e.id))
    or (e.subject_salt is null and not exists (select 1 from erased as x where x.part = 'subjects' and x.id = e.id))
  union all
  select 'seal_broken', s.id, null
  from seals as s
  where (s.s).hash <> private.audit_seal_hash(s.s)
    or (s.s).entries <> (select count(*) from private.audit_log as e where e.seal_id = s.id)
  union all
  select 'seal_missing', s.id, null
  from seals as s
  where s.id <> coalesce(s.previous_id, 0) + 1
    or (s.s).previous_hash <> coalesce(s.previous_hash, decode(repeat('00', 32), 'hex'))
  union all
  select 'anchor_missing', anchor_id, null
  where anchor_id is not null
    and not exists (select 1 from private.audit_seals as s where s.id = anchor_id and s.hash = anchor_hash);
end;
$$;
comment on function private.verify_audit_log(bigint, bytea) is 'One row for each problem: entry_changed, erased_without_record, seal_broken, seal_missing, anchor_missing.';
revoke all on function private.verify_audit_log(bigint, bytea) from public, anon, authenticated, service_role;
