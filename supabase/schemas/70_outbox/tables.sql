-- The transactional outbox: jobs for the worker, written in the transaction of the change that causes them.
--
-- Ids only, never personal data: the worker reads the present state with job_context when it runs the job.

-- Domains, because a check of the table would be compiled again by every statement that claims or settles.
create domain private.job_kind as text
  check (length(value) between 2 and 40 and translate(value, 'abcdefghijklmnopqrstuvwxyz_', '') = '');
comment on domain private.job_kind is 'Which handler a job is for: small letters and _.';
create domain private.job_state as text check (value in ('pending', 'running', 'done', 'dead'));
comment on domain private.job_state is 'pending, running, done or dead.';
create domain private.job_label as text check (length(value) <= 200);
comment on domain private.job_label is 'A key, a symbol or a name of at most 200 characters; nothing personal.';
create domain private.client_template as text check (value in (
  'appointment_requested', 'appointment_confirmed', 'appointment_changed', 'appointment_cancelled', 'appointment_reminder'
));
comment on domain private.client_template is 'What a mail to somebody without an account is about.';

create table private.outbox_jobs (
  id bigint generated always as identity primary key,
  kind private.job_kind not null,
  dedupe_key private.job_label not null unique,
  ordering_key private.job_label,
  priority smallint not null default 50,
  notification_id uuid references public.notifications (id) on delete cascade,
  appointment_id uuid references public.appointments (appointment_id) on delete cascade,
  connection_id uuid,
  client_template private.client_template,
  state private.job_state not null default 'pending',
  attempts integer not null default 0,
  max_attempts integer not null default 12,
  run_at timestamptz not null,
  lease_token uuid,
  leased_until timestamptz,
  worker_id private.job_label,
  last_error private.job_label,
  result jsonb,
  looks_again boolean not null default false,
  created_at timestamptz not null default now(),
  finished_at timestamptz
);
create index outbox_jobs_due_idx on private.outbox_jobs (priority, id) where state = 'pending';
create index outbox_jobs_ordering_idx on private.outbox_jobs (ordering_key, id)
  where state in ('pending', 'running') and ordering_key is not null;
create index outbox_jobs_leases_idx on private.outbox_jobs (leased_until) where state = 'running';
create index outbox_jobs_client_mail_idx on private.outbox_jobs ((md5(dedupe_key)::uuid)) where client_template is not null;
create index outbox_jobs_done_idx on private.outbox_jobs (finished_at) where state = 'done';
create index outbox_jobs_dead_idx on private.outbox_jobs (id) where state = 'dead';
create index outbox_jobs_notification_id_idx on private.outbox_jobs (notification_id) where notification_id is not null;
create index outbox_jobs_appointment_id_idx on private.outbox_jobs (appointment_id) where appointment_id is not null;
create index outbox_jobs_connection_id_idx on private.outbox_jobs (connection_id) where connection_id is not null;
create index outbox_jobs_done_pulls_idx on private.outbox_jobs (connection_id) where kind = 'calendar_pull' and state = 'done';
comment on table private.outbox_jobs is 'What the worker has to carry outside. Ids only. The lease is a column; settling needs its token.';
comment on column private.outbox_jobs.id is 'Key, in the order of making.';
comment on column private.outbox_jobs.kind is 'mail, sms, calendar_event, calendar_pull, calendar_disconnect or probe.';
comment on column private.outbox_jobs.dedupe_key is 'Permanent: the same effect is queued once.';
comment on column private.outbox_jobs.ordering_key is 'Jobs with the same key run one after the other, in order.';
comment on column private.outbox_jobs.priority is 'Lower goes first; 50 is ordinary.';
comment on column private.outbox_jobs.notification_id is 'The notification to carry.';
comment on column private.outbox_jobs.appointment_id is 'The appointment to carry.';
comment on column private.outbox_jobs.connection_id is 'The calendar to carry it to.';
comment on column private.outbox_jobs.client_template is 'For mail to the outside client of appointment_id, who has no notifications: which text.';
comment on column private.outbox_jobs.state is 'pending, running, done or dead; see docs/states.md.';
comment on column private.outbox_jobs.attempts is 'How often it has been claimed.';
comment on column private.outbox_jobs.max_attempts is 'After so many it is dead.';
comment on column private.outbox_jobs.run_at is 'Not before.';
comment on column private.outbox_jobs.lease_token is 'Drawn anew at each claim.';
comment on column private.outbox_jobs.leased_until is 'Then it may be claimed by another.';
comment on column private.outbox_jobs.worker_id is 'Who claimed it last.';
comment on column private.outbox_jobs.last_error is 'A stable symbol, never a provider''s text.';
comment on column private.outbox_jobs.result is 'What the worker reported.';
comment on column private.outbox_jobs.looks_again is 'For calendar_event: an earlier attempt was not answered, and may have written after the calendar was said to be empty.';
comment on column private.outbox_jobs.created_at is 'When it was queued.';
comment on column private.outbox_jobs.finished_at is 'When it became done or dead.';

create table private.job_keys (
  dedupe_key text collate "C" primary key,
  created_at timestamptz not null default now()
);
comment on table private.job_keys is 'Dedupe keys of jobs that were pruned: what was done once is never queued again.';
comment on column private.job_keys.dedupe_key is 'As the job had it; ids only.';
comment on column private.job_keys.created_at is 'When the job was pruned.';

create table private.undeliverable_addresses (
  id bigint generated always as identity primary key,
  user_id uuid references public.profiles (id) on delete cascade,
  appointment_id uuid references public.appointments (appointment_id) on delete cascade,
  address_digest text not null check (address_digest ~ '^[0-9a-f]{10}$'),
  created_at timestamptz not null default private.clock(),
  check (num_nonnulls(user_id, appointment_id) = 1),
  constraint undeliverable_addresses_once unique nulls not distinct (user_id, appointment_id, address_digest)
);
create index undeliverable_addresses_appointment_id_idx on private.undeliverable_addresses (appointment_id);
comment on table private.undeliverable_addresses is 'Addresses from which mail came back for good. No address is kept, but enough to know it again.';
comment on column private.undeliverable_addresses.id is 'Key.';
comment on column private.undeliverable_addresses.user_id is 'Whose address it is;';
comment on column private.undeliverable_addresses.appointment_id is 'or of which appointment''s outside client.';
comment on column private.undeliverable_addresses.address_digest is 'See private.address_digest.';
comment on column private.undeliverable_addresses.created_at is 'When the first mail came back.';

create table private.message_settings (
  id boolean primary key default true check (id),
  reminder_minutes integer[] not null default '{1440,60}' check (
    cardinality(reminder_minutes) <= 5 and 0 < all (reminder_minutes) and 43200 >= all (reminder_minutes)
  ),
  message_waiting_minutes integer not null default 30 check (message_waiting_minutes between 1 and 1440),
  job_retention_days integer not null default 30 check (job_retention_days > 0),
  rings_realtime boolean not null default true
);
comment on table private.message_settings is 'One row: when people are reminded, how often they are told of messages, how long done jobs are kept, how workers are rung.';
comment on column private.message_settings.id is 'Always true, so that there is one row.';
comment on column private.message_settings.reminder_minutes is 'Reminders go so many minutes before an appointment; at most five of them.';
comment on column private.message_settings.message_waiting_minutes is 'At most one message in so many minutes says that messages are waiting in a case.';
comment on column private.message_settings.job_retention_days is 'Done jobs are pruned after so many days; their dedupe keys stay.';
comment on column private.message_settings.rings_realtime is 'Whether new jobs ring on Realtime too; not needed where every worker has a connection of its own (SAUTI_DB_URL).';
insert into private.message_settings default values;

create table private.reminder_marks (
  lead_minutes integer primary key,
  reminded_until timestamptz not null
);
comment on table private.reminder_marks is 'How far reminders have got: for each lead, appointments up to the mark have been dealt with. Kept by send_reminders.';
comment on column private.reminder_marks.lead_minutes is 'One of message_settings.reminder_minutes.';
comment on column private.reminder_marks.reminded_until is 'Later appointments are still to be reminded of.';
