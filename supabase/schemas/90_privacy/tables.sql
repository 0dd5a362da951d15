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
