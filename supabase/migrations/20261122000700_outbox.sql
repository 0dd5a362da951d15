-- The baseline of supabase/schemas/70_outbox: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/70_outbox/tables.sql
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

-- supabase/schemas/70_outbox/address_digest.sql
-- What is kept of an address that mail did not reach: enough to know it again, too little to write to.
--
-- Called where mail is about to go, and where it failed; sauti_sync/messages/return_path.py computes the same. Locks: none.

create or replace function private.address_digest(address text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select left(encode(sha256(convert_to(address, 'UTF8')), 'hex'), 10);
$$;
comment on function private.address_digest(text) is 'The first 40 bits of SHA-256, in hexadecimal digits.';
revoke all on function private.address_digest(text) from public, anon, authenticated, service_role;

-- supabase/schemas/70_outbox/appointment_facts.sql
-- What a calendar may know of an appointment: times, state, link. Never a name, a service or an incident.
--
-- Called by message_context and calendar_event_context. Locks: none.

create or replace function private.appointment_facts(appointment public.appointments)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'appointment_id', appointment.appointment_id,
      'uid', appointment.appointment_id || '@sauti',
      'starts_at', appointment.appointment_date,
      'ends_at', upper(private.appointment_during(appointment.appointment_date, appointment.duration_minutes)),
      'duration_minutes', appointment.duration_minutes,
      'status', appointment.status,
      'sequence', appointment.sequence,
      'time_zone', appointment.time_zone,
      'meeting_url', appointment.meeting_url,
      'location', appointment.location,
      'case_code', (
        select r.case_code
        from public.matched_services as m
        join public.reports as r on r.report_id = m.report_id
        where m.id = appointment.matched_services
      ),
      'created_at', appointment.created_at,
      'revised_at', appointment.updated_at
    )
    where appointment.appointment_id is not null
  );
end;
$$;
comment on function private.appointment_facts(public.appointments) is 'jsonb for calendar entries and mail; null for no appointment.';
revoke all on function private.appointment_facts(public.appointments) from public, anon, authenticated, service_role;

-- supabase/schemas/70_outbox/claim_jobs.sql
-- A worker takes a batch of due jobs, each under a fresh lease.
--
-- Called by the worker. Due are pending jobs whose time has come and running ones whose lease has run out; of an ordering
-- key the oldest alone. A job never settled in all its attempts is dead: it probably kills its worker. Definer: the outbox
-- is private. Locks: the rows taken, skipping locked ones. Planned once, as planning costs more than the claim, and for
-- indexes: docs/adr/0010.

create or replace function private.claim_jobs(worker_id text, max_jobs integer, lease_seconds integer, kinds text[])
returns table (
  job_id bigint, kind text, attempt integer, max_attempts integer, lease_token uuid, leased_until timestamptz,
  queued_at timestamptz
)
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_now timestamptz := private.clock();
begin
  perform private.require_service_role();
  if worker_id is null or not private.is_clean_text(worker_id, 200) or max_jobs is null or max_jobs not between 1 and 1000
    or lease_seconds is null or lease_seconds not between 1 and 3600
  then
    perform private.raise_error('invalid_input', 'worker_id of at most 200 characters, max_jobs 1 to 1000, lease_seconds 1 to 3600.');
  end if;
  -- What a dead worker has left is put back, and goes before all that is ordinary: a backlog would keep it waiting for ever.
  if exists (select 1 from private.outbox_jobs as j where j.state = 'running' and j.leased_until <= v_now) then
    update private.outbox_jobs as j
    set state = case when j.attempts >= j.max_attempts then 'dead' else 'pending' end,
      priority = least(j.priority, 49), leased_until = null,
      last_error = case when j.attempts >= j.max_attempts then coalesce(j.last_error, 'lease_expired') else j.last_error end,
      finished_at = case when j.attempts >= j.max_attempts then v_now end
    where j.id = any (array(
      select d.id from private.outbox_jobs as d where d.state = 'running' and d.leased_until <= v_now for update skip locked
    ));
  end if;

  return query
  with taken as (
    update private.outbox_jobs as j
    set state = 'running', attempts = j.attempts + 1, lease_token = gen_random_uuid(), worker_id = claim_jobs.worker_id,
      leased_until = v_now + claim_jobs.lease_seconds * interval '1 second'
    where j.id = any (array(
      select due.id
      from private.outbox_jobs as due
      where due.state = 'pending' and due.run_at <= v_now
        and (claim_jobs.kinds is null or due.kind = any (claim_jobs.kinds))
        and (due.ordering_key is null or not exists (
          select 1
          from private.outbox_jobs as other
          where other.ordering_key = due.ordering_key and other.id <> due.id and other.state in ('pending', 'running')
            -- A dead job that is retried is older than one that runs already. One that waits to look again holds nobody up.
            and (
              (other.id < due.id and not (other.looks_again and other.run_at > v_now))
              or (other.state = 'running' and other.leased_until > v_now)
            )
        ))
      order by due.priority, due.id
      limit claim_jobs.max_jobs
      for update skip locked
    ))
    returning j.id, j.kind, j.priority, j.attempts, j.max_attempts, j.lease_token, j.leased_until,
      case when j.looks_again then j.run_at else j.created_at end as queued_at
  )
  select t.id, t.kind::text, t.attempts, t.max_attempts, t.lease_token, t.leased_until, t.queued_at
  from taken as t
  order by t.priority, t.id;
end;
$$;
comment on function private.claim_jobs(text, integer, integer, text[]) is 'Definer: the outbox is private. The caller must be the worker.';
revoke all on function private.claim_jobs(text, integer, integer, text[]) from public, anon, authenticated, service_role;
grant execute on function private.claim_jobs(text, integer, integer, text[]) to service_role;

create or replace function public.claim_jobs(worker_id text, max_jobs integer, lease_seconds integer, kinds text[] default null)
returns table (
  job_id bigint, kind text, attempt integer, max_attempts integer, lease_token uuid, leased_until timestamptz,
  queued_at timestamptz
)
language sql
volatile
security invoker
set search_path = ''
as $$
  select * from private.claim_jobs(worker_id, max_jobs, lease_seconds, kinds);
$$;
comment on function public.claim_jobs(text, integer, integer, text[]) is
  'Worker: takes at most max_jobs (1 to 1000) due jobs for lease_seconds (1 to 3600). → one row for each job with its lease token.';
revoke all on function public.claim_jobs(text, integer, integer, text[]) from public, anon, authenticated, service_role;
grant execute on function public.claim_jobs(text, integer, integer, text[]) to service_role;

-- supabase/schemas/70_outbox/client_mail_context.sql
-- What a mail to the outside client of an appointment needs, or why there is none to send.
--
-- Called by job_context, so just before the mail goes: what no longer holds is not told. It goes to the address that the
-- client gave for this appointment, in their language, and names nobody. Locks: none.

create or replace function private.client_mail_context(job private.outbox_jobs)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_appointment public.appointments;
  v_client public.appointment_clients;
begin
  select a.* into v_appointment from public.appointments as a where a.appointment_id = job.appointment_id;
  select c.* into v_client from public.appointment_clients as c where c.appointment_id = job.appointment_id;
  if v_client.client_email is null or not (case job.client_template
    when 'appointment_requested' then v_appointment.status = 'requested'
    when 'appointment_confirmed' then v_appointment.status = 'confirmed'
    when 'appointment_reminder' then v_appointment.status = 'confirmed' and v_appointment.appointment_date > private.clock()
    when 'appointment_changed' then v_appointment.status in ('requested', 'confirmed')
    else v_appointment.status = 'cancelled'
  end) or exists (
    select 1
    from private.undeliverable_addresses as u
    where u.appointment_id = v_appointment.appointment_id and u.address_digest = private.address_digest(v_client.client_email)
  ) then
    return null;
  end if;
  return jsonb_build_object(
    'state', 'due',
    'kind', 'mail',
    'message', jsonb_build_object(
      -- The same for each attempt, so that a mail sent twice is known as one.
      'id', md5(job.dedupe_key)::uuid,
      'template', job.client_template,
      'to', v_client.client_email,
      'locale', v_client.locale,
      'time_zone', v_client.time_zone,
      'case_code', null
    ),
    'appointment', private.appointment_facts(v_appointment) || '{"case_code": null}'
  );
end;
$$;
comment on function private.client_mail_context(private.outbox_jobs) is 'jsonb {state: due, message, appointment}, or null when there is no mail to send.';
revoke all on function private.client_mail_context(private.outbox_jobs) from public, anon, authenticated, service_role;

-- supabase/schemas/70_outbox/complete_job.sql
-- A job is done: its result is kept, and a calendar's mapping with it, in one transaction.
--
-- Called by the worker that holds the lease; repeated with the same token, it changes nothing. Definer: the outbox is
-- private. Locks: the job. Planned for indexes: docs/adr/0010.

create or replace function private.complete_job(job_id bigint, lease_token uuid, result jsonb)
returns void
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_job private.outbox_jobs;
begin
  perform private.require_service_role();
  if (
    select j.state
    from private.outbox_jobs as j
    where j.id = complete_job.job_id and j.lease_token = complete_job.lease_token
  ) = 'done' then
    return;
  end if;
  if pg_column_size(result) > 8192 then
    perform private.raise_error('invalid_input', 'result: at most 8 kB');
  end if;
  v_job := private.leased_job(job_id, lease_token);
  if v_job.kind = 'calendar_event' then
    perform private.record_calendar_result(v_job.appointment_id, v_job.connection_id, result);
    delete from private.calendar_tombstones as t where t.id = v_job.tombstone_id;
  end if;
  update private.outbox_jobs as j
  set state = 'done', result = complete_job.result, last_error = null, finished_at = private.clock(), leased_until = null
  where j.id = v_job.id;
end;
$$;
comment on function private.complete_job(bigint, uuid, jsonb) is 'Definer: the outbox is private. The caller must be the worker and hold the lease.';
revoke all on function private.complete_job(bigint, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.complete_job(bigint, uuid, jsonb) to service_role;

create or replace function public.complete_job(job_id bigint, lease_token uuid, result jsonb default null)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.complete_job(job_id, lease_token, result);
end;
$$;
comment on function public.complete_job(bigint, uuid, jsonb) is
  'Worker: settles a job as done, with what was achieved. Errors: invalid_transition (stale lease), invalid_input.';
revoke all on function public.complete_job(bigint, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.complete_job(bigint, uuid, jsonb) to service_role;

-- supabase/schemas/70_outbox/complete_jobs.sql
-- Many jobs are done: each is settled as by complete_job, all in one transaction.
--
-- Called by the worker. A stale lease is an answer and no error. Definer: the outbox is private. Locks: the jobs, in the
-- order of their ids; then what complete_job locks, in the order of the connections. Planned once, for indexes:
-- docs/adr/0010.

create or replace function private.complete_jobs(settlements jsonb)
returns table (job_id bigint, lease_token uuid, is_settled boolean)
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_now timestamptz := private.clock();
  v_ids bigint[];
  v_tokens uuid[];
  v_results jsonb[];
  v_settled integer;
begin
  perform private.require_service_role();
  -- A worker may hold an old lease of a job beside its present one: what is given for a job is found by the token.
  select array_agg(g.job_id), array_agg(g.lease_token), array_agg(g.result) into v_ids, v_tokens, v_results
  from jsonb_to_recordset(settlements) as g (job_id bigint, lease_token uuid, result jsonb);
  update private.outbox_jobs as j
  set state = 'done', result = v_results[array_position(v_tokens, j.lease_token)], last_error = null, finished_at = v_now,
    leased_until = null
  where j.id = any (v_ids) and v_ids[array_position(v_tokens, j.lease_token)] = j.id and coalesce(j.state, '') = 'running'
    and j.kind in ('mail', 'sms', 'probe')
    and coalesce(pg_column_size(v_results[array_position(v_tokens, j.lease_token)]) <= 8192, true);
  get diagnostics v_settled = row_count;

  if v_settled = jsonb_array_length(settlements) then
    return query select g.job_id, g.lease_token, true from unnest(v_ids, v_tokens) as g (job_id, lease_token);
    return;
  end if;

  perform private.complete_job(special.id, special.lease_token, special.result)
  from (
    select j.id, j.lease_token, v_results[array_position(v_tokens, j.lease_token)] as result
    from private.outbox_jobs as j
    where j.id = any (v_ids) and v_ids[array_position(v_tokens, j.lease_token)] = j.id and coalesce(j.state, '') = 'running'
    order by j.connection_id, j.id
    -- One that goes while this waits for it drops out, instead of refusing the list.
    for no key update of j
  ) as special;

  return query
  select g.job_id, g.lease_token, coalesce((
    select j.state = 'done'
    from private.outbox_jobs as j
    where j.id = g.job_id and j.lease_token = g.lease_token
  ), false)
  from unnest(v_ids, v_tokens) as g (job_id, lease_token);
end;
$$;
comment on function private.complete_jobs(jsonb) is 'Definer: the outbox is private. The caller must be the worker and hold the leases.';
revoke all on function private.complete_jobs(jsonb) from public, anon, authenticated, service_role;
grant execute on function private.complete_jobs(jsonb) to service_role;

create or replace function public.complete_jobs(settlements jsonb)
returns table (job_id bigint, lease_token uuid, is_settled boolean)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return query select * from private.complete_jobs(settlements);
end;
$$;
comment on function public.complete_jobs(jsonb) is
  'Worker: complete_job of many jobs, given as [{job_id, lease_token, result}]. → one row for each: whether it is settled.';
revoke all on function public.complete_jobs(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.complete_jobs(jsonb) to service_role;

-- supabase/schemas/70_outbox/extend_lease.sql
-- A worker that is still busy keeps its job.
--
-- Called by the worker that holds the lease. Definer: the outbox is private. Locks: the job.
-- Planned for indexes: docs/adr/0010.

create or replace function private.extend_lease(job_id bigint, lease_token uuid, lease_seconds integer)
returns timestamptz
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_job private.outbox_jobs;
begin
  perform private.require_service_role();
  if lease_seconds is null or lease_seconds not between 1 and 3600 then
    perform private.raise_error('invalid_input', 'lease_seconds: 1 to 3600.');
  end if;
  v_job := private.leased_job(job_id, lease_token);
  update private.outbox_jobs as j
  set leased_until = private.clock() + extend_lease.lease_seconds * interval '1 second'
  where j.id = v_job.id
  returning j.leased_until into v_job.leased_until;
  return v_job.leased_until;
end;
$$;
comment on function private.extend_lease(bigint, uuid, integer) is 'Definer: the outbox is private. The caller must be the worker and hold the lease.';
revoke all on function private.extend_lease(bigint, uuid, integer) from public, anon, authenticated, service_role;
grant execute on function private.extend_lease(bigint, uuid, integer) to service_role;

create or replace function public.extend_lease(job_id bigint, lease_token uuid, lease_seconds integer)
returns timestamptz
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.extend_lease(job_id, lease_token, lease_seconds);
$$;
comment on function public.extend_lease(bigint, uuid, integer) is
  'Worker: extends a lease by lease_seconds (1 to 3600) from now. → when it ends. Errors: invalid_transition (stale lease), invalid_input.';
revoke all on function public.extend_lease(bigint, uuid, integer) from public, anon, authenticated, service_role;
grant execute on function public.extend_lease(bigint, uuid, integer) to service_role;

-- supabase/schemas/70_outbox/fail_job.sql
-- A job could not be done: it is tried again later, or goes to the dead letters.
--
-- Called by the worker that holds the lease. Without retry_in_seconds the error is permanent; the last attempt is final
-- too. `error` is a stable symbol, so that no provider's text reaches the database. Definer: the outbox is private.
-- Locks: the job. Planned for indexes: docs/adr/0010.

create or replace function private.fail_job(job_id bigint, lease_token uuid, error text, retry_in_seconds numeric)
returns text
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_job private.outbox_jobs;
  v_state text;
  v_error text := error;
  -- Not tried: a restart, or a provider that is down, costs no attempt and is not this job's failure.
  v_handed_back boolean := error in ('worker_stopped', 'provider_paused') and retry_in_seconds is not null;
begin
  perform private.require_service_role();
  if error is null or error !~ '^[a-z0-9_]{2,80}$' then
    perform private.raise_error('invalid_input', 'error: a symbol of 2 to 80 lower-case letters, digits and underscores.');
  elsif retry_in_seconds not between 0 and 604800 then
    perform private.raise_error('invalid_input', 'retry_in_seconds: 0 to 604800.');
  end if;
  v_job := private.leased_job(job_id, lease_token);
  if v_handed_back then
    v_job.attempts := v_job.attempts - 1;
    -- What a stopped worker had under way stays in doubt, however long the provider is left alone.
    v_error := case v_job.last_error when 'worker_stopped' then v_job.last_error else error end;
  end if;
  v_state := case when retry_in_seconds is null or v_job.attempts >= v_job.max_attempts then 'dead' else 'pending' end;
  update private.outbox_jobs as j
  set state = v_state, attempts = v_job.attempts, last_error = v_error, leased_until = null, lease_token = null,
    run_at = private.clock() + coalesce(retry_in_seconds, 0) * interval '1 second',
    finished_at = case v_state when 'dead' then private.clock() end
  where j.id = v_job.id;
  if (v_job.kind = 'calendar_event' or (v_job.kind = 'calendar_pull' and v_state = 'dead')) and not v_handed_back then
    perform private.record_calendar_failure(v_job.appointment_id, v_job.connection_id, fail_job.error);
  end if;
  return v_state;
end;
$$;
comment on function private.fail_job(bigint, uuid, text, numeric) is 'Definer: the outbox is private. The caller must be the worker and hold the lease.';
revoke all on function private.fail_job(bigint, uuid, text, numeric) from public, anon, authenticated, service_role;
grant execute on function private.fail_job(bigint, uuid, text, numeric) to service_role;

create or replace function public.fail_job(job_id bigint, lease_token uuid, error text, retry_in_seconds numeric default null)
returns text
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.fail_job(job_id, lease_token, error, retry_in_seconds);
$$;
comment on function public.fail_job(bigint, uuid, text, numeric) is
  'Worker: settles a failed attempt. retry_in_seconds null = permanent. → the new state, pending or dead. Errors: invalid_transition (stale lease), invalid_input.';
revoke all on function public.fail_job(bigint, uuid, text, numeric) from public, anon, authenticated, service_role;
grant execute on function public.fail_job(bigint, uuid, text, numeric) to service_role;

-- supabase/schemas/70_outbox/job_context.sql
-- What a claimed job means right now, read under its lease.
--
-- Called by the worker just before it acts. obsolete = the reason has gone; postponed = not now (safe hours) or by
-- another channel, already put back by this call; due = everything the handler needs.
-- Definer: it reads addresses and credentials for the worker alone. Locks: the job.

create or replace function private.job_context(job_id bigint, lease_token uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job private.outbox_jobs;
  v_context jsonb;
begin
  v_job := private.leased_job(job_id, lease_token);
  v_context := case
    when v_job.kind = 'mail' and v_job.client_template is not null then private.client_mail_context(v_job)
    when v_job.kind in ('mail', 'sms') then private.message_context(v_job.notification_id)
    when v_job.tombstone_id is not null then private.tombstone_context(v_job.tombstone_id)
    when v_job.kind = 'calendar_event' then private.calendar_event_context(v_job.appointment_id, v_job.connection_id, v_job.looks_again)
    when v_job.kind = 'calendar_pull' then private.calendar_pull_context(v_job.connection_id)
    when v_job.kind = 'calendar_disconnect' then private.calendar_disconnect_context(v_job.id)
    when v_job.kind = 'probe' then '{"state": "due", "kind": "probe"}'::jsonb
  end;
  if v_job.kind in ('mail', 'sms') and v_context ->> 'state' = 'due' and v_context ->> 'kind' <> v_job.kind then
    -- The person has chosen another channel since this was queued: a worker that serves it takes the job.
    update private.outbox_jobs as j
    set kind = v_context ->> 'kind', state = 'pending', run_at = private.clock(), attempts = j.attempts - 1, lease_token = null,
      leased_until = null
    where j.id = v_job.id;
    perform private.ring_doorbell();
    return '{"state": "postponed"}'::jsonb;
  end if;
  if v_context ->> 'state' = 'postponed' then
    update private.outbox_jobs as j
    set state = 'pending', run_at = (v_context ->> 'until')::timestamptz, attempts = j.attempts - 1, lease_token = null,
      leased_until = null
    where j.id = v_job.id;
  end if;
  return coalesce(v_context, '{"state": "obsolete"}'::jsonb);
end;
$$;
comment on function private.job_context(bigint, uuid) is 'Definer: reads addresses and credentials. The caller must be the worker and hold the lease.';
revoke all on function private.job_context(bigint, uuid) from public, anon, authenticated, service_role;
grant execute on function private.job_context(bigint, uuid) to service_role;

create or replace function public.job_context(job_id bigint, lease_token uuid)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.job_context(job_id, lease_token);
$$;
comment on function public.job_context(bigint, uuid) is
  'Worker: the present state of a claimed job. → jsonb with state obsolete, postponed or due. Errors: invalid_transition (stale lease).';
revoke all on function public.job_context(bigint, uuid) from public, anon, authenticated, service_role;
grant execute on function public.job_context(bigint, uuid) to service_role;

-- supabase/schemas/70_outbox/job_contexts.sql
-- What many claimed jobs mean right now, in one call.
--
-- Called by the worker, as job_context. A stale lease is an answer here and no error, so that it does not cost the others
-- theirs. Definer: as job_context. Locks: the jobs, in the order of their ids. Planned for indexes:
-- docs/adr/0010.

create or replace function private.job_contexts(leases jsonb)
returns table (job_id bigint, lease_token uuid, context jsonb)
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
as $$
begin
  perform private.require_service_role();
  return query
  with given as (
    select l.job_id as id, l.lease_token as token
    from jsonb_to_recordset(leases) as l (job_id bigint, lease_token uuid)
  ), held as materialized (
    select j.id, j.lease_token as token
    from private.outbox_jobs as j
    where j.id = any (array(select g.id from given as g)) and coalesce(j.state, '') = 'running'
      and exists (select 1 from given as g where g.id = j.id and g.token = j.lease_token)
    order by j.id
    for no key update of j
  )
  select g.id, g.token, case when h.id is null then '{"state": "lost"}'::jsonb else private.job_context(h.id, h.token) end
  from given as g
  left join held as h on h.id = g.id and h.token = g.token
  order by g.id;
end;
$$;
comment on function private.job_contexts(jsonb) is 'Definer: reads addresses and credentials. The caller must be the worker and hold the leases.';
revoke all on function private.job_contexts(jsonb) from public, anon, authenticated, service_role;
grant execute on function private.job_contexts(jsonb) to service_role;

create or replace function public.job_contexts(leases jsonb)
returns table (job_id bigint, lease_token uuid, context jsonb)
language sql
volatile
security invoker
set search_path = ''
as $$
  select * from private.job_contexts(leases);
$$;
comment on function public.job_contexts(jsonb) is
  'Worker: job_context of many jobs, given as [{job_id, lease_token}]. → one row for each; state lost for a stale lease.';
revoke all on function public.job_contexts(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.job_contexts(jsonb) to service_role;

-- supabase/schemas/70_outbox/leased_job.sql
-- The job of a current lease, locked; a stale lease is refused.
--
-- Called first by every function that settles, extends or reads a job. A worker that stalled and lost its lease can
-- change nothing, because the next claim drew another token. Locks: the job. Planned for indexes:
-- docs/adr/0010.

create or replace function private.leased_job(job_id bigint, lease_token uuid)
returns private.outbox_jobs
language plpgsql
volatile
security invoker
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_job private.outbox_jobs;
begin
  perform private.require_service_role();
  select j.* into v_job
  from private.outbox_jobs as j
  where j.id = leased_job.job_id and j.lease_token = leased_job.lease_token and coalesce(j.state, '') = 'running'
  for no key update;
  if not found then
    perform private.raise_error(
      'invalid_transition', 'The lease of this job is no longer held with this token.', 'Drop the job; another worker has it.'
    );
  end if;
  return v_job;
end;
$$;
comment on function private.leased_job(bigint, uuid) is 'The running job of this lease; raises invalid_transition when the lease is stale.';
revoke all on function private.leased_job(bigint, uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/70_outbox/list_jobs.sql
-- The outbox for operators: ids, states and symbols.
--
-- Called with the service key by `sauti-sync jobs`. Definer: the outbox is private. Locks: none.

create or replace function private.list_jobs(wanted_state text, max_jobs integer)
returns table (
  job_id bigint, kind text, state text, attempts integer, max_attempts integer, run_at timestamptz, last_error text,
  created_at timestamptz, finished_at timestamptz
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  return query
  select j.id, j.kind::text, j.state::text, j.attempts, j.max_attempts, j.run_at, j.last_error::text, j.created_at, j.finished_at
  from private.outbox_jobs as j
  where wanted_state is null or j.state = wanted_state
  order by j.id desc
  limit least(greatest(coalesce(list_jobs.max_jobs, 100), 0), 1000);
end;
$$;
comment on function private.list_jobs(text, integer) is 'Definer: the outbox is private. The caller must hold the service key.';
revoke all on function private.list_jobs(text, integer) from public, anon, authenticated, service_role;
grant execute on function private.list_jobs(text, integer) to service_role;

create or replace function public.list_jobs(state text default null, max_jobs integer default 100)
returns table (
  job_id bigint, kind text, state text, attempts integer, max_attempts integer, run_at timestamptz, last_error text,
  created_at timestamptz, finished_at timestamptz
)
language sql
stable
security invoker
set search_path = ''
as $$
  select * from private.list_jobs(state, max_jobs);
$$;
comment on function public.list_jobs(text, integer) is
  'Operators: the newest max_jobs (at most 1000) jobs, of one state or of all.';
revoke all on function public.list_jobs(text, integer) from public, anon, authenticated, service_role;
grant execute on function public.list_jobs(text, integer) to service_role;

-- supabase/schemas/70_outbox/mark_undeliverable.sql
-- Mail to an address goes nowhere: no more of it is sent, and whoever can correct it is told, once and in the app.
--
-- Called by record_bounce. Of a person's address the person is told, of an outside client's the professional.
-- Another address is another digest, so a corrected one is served at once. Locks: none.

create or replace function private.mark_undeliverable(user_id uuid, appointment_id uuid, address_digest text)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  insert into private.undeliverable_addresses (user_id, appointment_id, address_digest)
  values (mark_undeliverable.user_id, mark_undeliverable.appointment_id, mark_undeliverable.address_digest)
  on conflict do nothing;
  if not found then
    return false;
  end if;
  perform private.notify(
    array[coalesce(
      mark_undeliverable.user_id,
      (select a.professional_id from public.appointments as a where a.appointment_id = mark_undeliverable.appointment_id)
    )],
    'mail_undeliverable',
    appointment_id => mark_undeliverable.appointment_id
  );
  return true;
end;
$$;
comment on function private.mark_undeliverable(uuid, uuid, text) is 'The address of a person, or of an appointment''s outside client, does not work. → whether that is new.';
revoke all on function private.mark_undeliverable(uuid, uuid, text) from public, anon, authenticated, service_role;

-- supabase/schemas/70_outbox/message_context.sql
-- What the message for a notification needs and by which channel it goes, or why there is none to send.
--
-- Called by job_context, so just before it goes: a cancelled session reminds nobody. A professional is reached by mail
-- at the account's address. A survivor as that case's contact preference says, and only in safe hours: by mail at the
-- address of the report or of the account, by SMS at the report's number. Anything else is obsolete. Locks: none.

create or replace function private.message_context(notification_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_notification public.notifications;
  v_match public.matched_services;
  v_appointment public.appointments;
  v_report public.reports;
  v_reader public.profiles;
  v_channel text := 'mail';
  v_address text;
  v_safe_at timestamptz;
begin
  select n.* into v_notification from public.notifications as n where n.id = message_context.notification_id;
  select p.* into v_reader from public.profiles as p where p.id = v_notification.user_id;
  select u.email into v_address from auth.users as u where u.id = v_notification.user_id;
  select a.* into v_appointment from public.appointments as a where a.appointment_id = v_notification.appointment_id;
  select m.* into v_match from public.matched_services as m
  where m.id = coalesce(v_notification.matched_services, v_appointment.matched_services);
  select r.* into v_report from public.reports as r where r.report_id = coalesce(v_match.report_id, v_notification.report_id);

  if v_notification.id is null or v_notification.read_at is not null or not coalesce(case v_notification.kind
    when 'offer_made' then v_match.match_status_type = 'pending' and v_match.expires_at > private.clock()
    when 'offer_reminder' then v_match.match_status_type = 'pending' and v_match.expires_at > private.clock()
    when 'appointment_requested' then v_appointment.status = 'requested'
    when 'appointment_confirmed' then v_appointment.status = 'confirmed'
    when 'appointment_changed' then v_appointment.status in ('requested', 'confirmed')
    when 'appointment_cancelled' then v_appointment.status = 'cancelled'
    when 'appointment_reminder' then v_appointment.status = 'confirmed' and v_appointment.appointment_date > private.clock()
      -- Not moved away in the meantime.
      and v_appointment.appointment_date <= v_notification.created_at + interval '1 minute' * (
        select max(lead) from private.message_settings as s, unnest(s.reminder_minutes) as lead
      )
    when 'message_waiting' then v_match.match_status_type = 'accepted'
    when 'hand_over_requested' then exists (
      select 1 from public.hand_overs as h where h.matched_services = v_match.id and h.status = 'requested'
    )
    when 'completion_requested' then v_match.match_status_type = 'accepted'
    when 'completion_disputed' then v_match.match_status_type = 'accepted' and v_match.professional_completed_at is null
    when 'case_closed' then v_match.match_status_type = 'completed'
    when 'case_escalated' then exists (
      select 1 from private.escalations as e where e.report_id = v_report.report_id and e.resolved_at is null
    )
    when 'cal_com_conflict' then exists (
      select 1 from public.cal_com_conflicts as c where c.professional_id = v_reader.id and c.resolved_at is null
    )
    -- Of an address of the reader's own, mail tells nobody.
    when 'mail_undeliverable' then v_notification.appointment_id is not null
    when 'cal_com_needs_attention' then exists (
      select 1 from public.cal_com_connections as c where c.professional_id = v_reader.id and c.status = 'needs_attention'
    )
    else true
  end, false) then
    return null;
  end if;

  if v_reader.user_type = 'survivor' and v_report.report_id is null then
    -- Without a case there is no contact preference to go by, so the app alone tells it.
    return null;
  end if;
  if v_reader.id = v_report.user_id then
    if v_report.contact_preference = 'email' then
      v_address := coalesce(v_report.contact_email, v_address);
    elsif v_report.contact_preference = 'sms' then
      v_channel := 'sms';
      v_address := v_report.contact_phone;
    else
      return null;
    end if;
    v_safe_at := private.next_safe_time(
      private.clock(), v_reader.time_zone, v_report.safe_contact_from, v_report.safe_contact_until
    );
    if v_safe_at > private.clock() then
      return jsonb_build_object('state', 'postponed', 'until', v_safe_at);
    end if;
  end if;
  if v_address is null or v_address = '' or (v_channel = 'mail' and exists (
    select 1
    from private.undeliverable_addresses as u
    where u.user_id = v_reader.id and u.address_digest = private.address_digest(v_address)
  )) then
    return null;
  end if;

  return jsonb_build_object(
    'state', 'due',
    'kind', v_channel,
    'message', jsonb_build_object(
      'id', v_notification.id,
      'template', v_notification.kind,
      'to', v_address,
      'locale', v_reader.locale,
      'time_zone', v_reader.time_zone,
      -- Before acceptance a professional may not know the case code; an administrator never needs it.
      'case_code', case
        when v_reader.id = v_report.user_id
          or (v_reader.id = v_match.professional_id and v_match.match_status_type in ('accepted', 'completed'))
        then v_report.case_code
      end
    ),
    'appointment', private.appointment_facts(v_appointment)
  );
end;
$$;
comment on function private.message_context(uuid) is 'jsonb {state: due | postponed, kind: mail | sms, message, appointment}, or null when there is nothing to send.';
revoke all on function private.message_context(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/70_outbox/next_safe_time.sql
-- Whether a time of day lies in somebody's safe hours, and if not, when they next begin.
--
-- Called by message_context. `from` after `until` means over midnight; equal means all day. Pure, so that it can be tested
-- over every hour. Locks: none.

create or replace function private.next_safe_time(at timestamptz, time_zone text, safe_from time, safe_until time)
returns timestamptz
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when safe_from is null or safe_until is null or safe_from = safe_until or (safe_from = '24:00' and safe_until = '00:00') then at
    when safe_from < safe_until and local.time_of_day >= safe_from and local.time_of_day < safe_until then at
    when safe_from > safe_until and (local.time_of_day >= safe_from or local.time_of_day < safe_until) then at
    else (local.day + case when local.time_of_day < safe_from then 0 else 1 end + safe_from) at time zone time_zone
  end
  from (select (at at time zone time_zone)::date as day, (at at time zone time_zone)::time as time_of_day) as local;
$$;
comment on function private.next_safe_time(timestamptz, text, time, time) is 'at itself when it is safe, else the next moment at which safe hours begin in that time zone.';
revoke all on function private.next_safe_time(timestamptz, text, time, time) from public, anon, authenticated, service_role;

-- supabase/schemas/70_outbox/notify_message_waiting.sql
-- Tells somebody that messages are waiting in a case, at most once in a while.
--
-- Called by the trigger of public.messages. The app hears of each message by itself; this is for whoever is not there.
-- Locks: an advisory lock of this person and case, so that two messages at once make one notification.

create or replace function private.notify_message_waiting(match_id uuid, recipient uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('sauti.message_waiting:' || match_id || ':' || recipient, 0));
  if not exists (
    select 1
    from public.notifications as n, private.message_settings as s
    where n.user_id = recipient and n.kind = 'message_waiting' and n.matched_services = match_id
      and n.created_at > private.clock() - s.message_waiting_minutes * interval '1 minute'
  ) then
    perform private.notify(array[recipient], 'message_waiting', match_id => match_id);
  end if;
end;
$$;
comment on function private.notify_message_waiting(uuid, uuid) is 'Notifies the recipient once in message_waiting_minutes for each case.';
revoke all on function private.notify_message_waiting(uuid, uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/70_outbox/outbox_statistics.sql
-- How the outbox stands: counts and the age of the oldest due job.
--
-- Called by the worker for its metrics. Definer: the outbox is private. Locks: none.

create or replace function private.outbox_statistics()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  return (
    select jsonb_build_object(
      'pending', count(*),
      -- Each state is counted by the index of its own: in one scan of both, the jobs that are kept would be read too.
      'running', (select count(*) from private.outbox_jobs as r where r.state = 'running'),
      'dead', (select count(*) from private.outbox_jobs as d where d.state = 'dead'),
      'oldest_pending_seconds', coalesce(
        extract(epoch from private.clock() - min(j.run_at) filter (where j.run_at <= private.clock())), 0
      )
    )
    from private.outbox_jobs as j
    where j.state = 'pending'
  );
end;
$$;
comment on function private.outbox_statistics() is 'Definer: the outbox is private. The caller must hold the service key.';
revoke all on function private.outbox_statistics() from public, anon, authenticated, service_role;
grant execute on function private.outbox_statistics() to service_role;

create or replace function public.outbox_statistics()
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select private.outbox_statistics();
$$;
comment on function public.outbox_statistics() is
  'Operators: {pending, running, dead, oldest_pending_seconds}.';
revoke all on function public.outbox_statistics() from public, anon, authenticated, service_role;
grant execute on function public.outbox_statistics() to service_role;

-- supabase/schemas/70_outbox/prune_jobs.sql
-- Done jobs go when they are old; what they were about stays known, so that it is never queued again.
--
-- Called by run_due_timers, for a bounded number of jobs. Dead ones stay until somebody has looked at them. Locks: the
-- jobs. Planned for indexes: docs/adr/0010.

create or replace function private.prune_jobs(max_jobs integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_kept_since timestamptz := (
    select private.clock() - s.job_retention_days * interval '1 day' from private.message_settings as s
  );
  v_count integer;
begin
  with pruned as (
    delete from private.outbox_jobs as j
    where j.id = any (array(
      select d.id
      from private.outbox_jobs as d
      where d.state = 'done' and d.finished_at < v_kept_since
      order by d.finished_at
      limit prune_jobs.max_jobs
      for update skip locked
    ))
    returning j.dedupe_key
  )
  insert into private.job_keys (dedupe_key, created_at)
  select p.dedupe_key, private.clock()
  from pruned as p
  on conflict on constraint job_keys_pkey do nothing;
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.prune_jobs(integer) is 'Deletes at most max_jobs done jobs whose time of keeping is over. → how many.';
revoke all on function private.prune_jobs(integer) from public, anon, authenticated, service_role;

-- supabase/schemas/70_outbox/queue_probe.sql
-- A job that does nothing: whoever queues it can see whether, and how soon, a worker takes it.
--
-- Called with the service key by `sauti-sync doctor`. Definer: the outbox is private. Locks: none.

create or replace function private.queue_probe()
returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_id bigint;
begin
  perform private.require_service_role();
  insert into private.outbox_jobs (kind, dedupe_key, priority, max_attempts, run_at)
  values ('probe', 'probe:' || gen_random_uuid(), 1, 3, private.clock())
  returning id into v_id;
  return v_id;
end;
$$;
comment on function private.queue_probe() is 'Definer: the outbox is private. The caller must hold the service key.';
revoke all on function private.queue_probe() from public, anon, authenticated, service_role;
grant execute on function private.queue_probe() to service_role;

create or replace function public.queue_probe()
returns bigint
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.queue_probe();
$$;
comment on function public.queue_probe() is
  'Operators: queues a job that does nothing. → its job_id; list_jobs tells what became of it.';
revoke all on function public.queue_probe() from public, anon, authenticated, service_role;
grant execute on function public.queue_probe() to service_role;

-- supabase/schemas/70_outbox/record_bounce.sql
-- A mail came back: the address that it was sent to is not written to again until it is another one.
--
-- Called by `sauti-sync bounces`, which has verified that the report names a return path of ours, and by the worker whose
-- mail server knows no such address. The message is a notification, or a mail to an appointment's outside client.
-- Definer: both are private to their readers. Locks: none.

create or replace function private.record_bounce(message_id uuid, address_digest text)
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid;
  v_appointment_id uuid;
begin
  perform private.require_service_role();
  if message_id is null or address_digest is null or address_digest !~ '^[0-9a-f]{10}$' then
    perform private.raise_error('invalid_input', 'message_id or address_digest');
  end if;
  select n.user_id into v_user_id from public.notifications as n where n.id = record_bounce.message_id;
  if v_user_id is null then
    select j.appointment_id into v_appointment_id
    from private.outbox_jobs as j
    where md5(j.dedupe_key)::uuid = record_bounce.message_id and j.client_template is not null;
    if v_appointment_id is null then
      return 'unknown';
    end if;
  end if;
  return case when private.mark_undeliverable(v_user_id, v_appointment_id, address_digest) then 'recorded' else 'known' end;
end;
$$;
comment on function private.record_bounce(uuid, text) is 'Definer: notifications and jobs are not the caller''s. The caller must be the worker''s side with the service key.';
revoke all on function private.record_bounce(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.record_bounce(uuid, text) to service_role;

create or replace function public.record_bounce(message_id uuid, address_digest text)
returns text
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.record_bounce(message_id, address_digest);
$$;
comment on function public.record_bounce(uuid, text) is
  'Worker: a mail came back for good; no more is sent to that address, and its owner is told in the app. → text recorded, known, or unknown (a message that is gone). Errors: invalid_input.';
revoke all on function public.record_bounce(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.record_bounce(uuid, text) to service_role;

-- supabase/schemas/70_outbox/retry_jobs.sql
-- Dead letters are put back in the queue with a fresh count of attempts.
--
-- Called with the service key by `sauti-sync jobs retry`. Definer: the outbox is private. Locks: the jobs.

create or replace function private.retry_jobs(job_ids bigint[])
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_count integer;
begin
  perform private.require_service_role();
  with revived as (
    update private.outbox_jobs as j
    set state = 'pending', attempts = 0, run_at = private.clock(), finished_at = null, lease_token = null
    where j.state = 'dead' and (job_ids is null or j.id = any (job_ids))
    returning j.id
  )
  select count(*) into v_count from revived;
  if v_count > 0 then
    perform private.ring_doorbell();
  end if;
  return v_count;
end;
$$;
comment on function private.retry_jobs(bigint[]) is 'Definer: the outbox is private. The caller must hold the service key.';
revoke all on function private.retry_jobs(bigint[]) from public, anon, authenticated, service_role;
grant execute on function private.retry_jobs(bigint[]) to service_role;

create or replace function public.retry_jobs(job_ids bigint[] default null)
returns integer
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.retry_jobs(job_ids);
$$;
comment on function public.retry_jobs(bigint[]) is
  'Operators: puts dead jobs (all, or those named) back in the queue. → how many.';
revoke all on function public.retry_jobs(bigint[]) from public, anon, authenticated, service_role;
grant execute on function public.retry_jobs(bigint[]) to service_role;

-- supabase/schemas/70_outbox/ring_doorbell.sql
-- Tells workers that there are jobs: on the private Realtime topic, and by NOTIFY for those with a connection of their own.
--
-- Called where jobs are added or put back. Both are hints; a lost one costs one poll interval. One ring is enough for all
-- that a transaction queues; a ring that a savepoint takes back is forgotten with it. The operator may leave Realtime out
-- (message_settings). Definer: the topic is the worker's alone. Locks: none.

create or replace function private.ring_doorbell()
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if current_setting('sauti.doorbell_rung', true) = 'yes' then
    return;
  end if;
  perform set_config('sauti.doorbell_rung', 'yes', true);
  if (select s.rings_realtime from private.message_settings as s) then
    perform realtime.send('{}'::jsonb, 'jobs', 'sauti_sync', true);
  end if;
  perform pg_notify('sauti_sync', '');
end;
$$;
comment on function private.ring_doorbell() is 'Definer: sends to the worker''s private topic as the owner.';
revoke all on function private.ring_doorbell() from public, anon, authenticated, service_role;

-- supabase/schemas/70_outbox/run_due_timers.sql
-- Everything that happens because time passes: offers and requests expire, people are reminded, the response clock
-- advances, old jobs are pruned.
--
-- Called by the worker at every poll. One worker at a time does it; the others find the lock taken and go on. Bounded
-- work, so that a long backlog is done over several polls. Definer: it acts on every case. Locks: an advisory lock,
-- then report rows with skip locked.

create or replace function private.run_due_timers()
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  if not pg_try_advisory_xact_lock(hashtext('sauti.run_due_timers')) then
    return '{"busy": true}'::jsonb;
  end if;
  perform private.publish_statistics();
  perform private.seal_audit_log(5000);
  delete from private.booking_counters as b where b.window_ends_at <= private.clock();
  return jsonb_build_object(
    'expired', private.expire_offers(200),
    'requests_expired', private.expire_requests(200),
    'reminded', private.send_reminders(200),
    'pulls', private.schedule_calendar_pulls(200),
    'pruned', private.prune_jobs(1000),
    'purged', private.purge_expired(200)
  ) || private.advance_response_clocks(200);
end;
$$;
comment on function private.run_due_timers() is 'Definer: acts on every case. The caller must be the worker.';
revoke all on function private.run_due_timers() from public, anon, authenticated, service_role;
grant execute on function private.run_due_timers() to service_role;

create or replace function public.run_due_timers()
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.run_due_timers();
$$;
comment on function public.run_due_timers() is
  'Worker: takes every step that is due, of the response clock and of requests that nobody confirmed. → jsonb counts: expired, requests_expired, reminded, pulls, pruned, purged, nudged, widened, opened, escalated, searched.';
revoke all on function public.run_due_timers() from public, anon, authenticated, service_role;
grant execute on function public.run_due_timers() to service_role;

-- supabase/schemas/70_outbox/send_reminders.sql
-- Reminders that have come due become notifications of both people and a mail to an outside client.
--
-- Called by run_due_timers. For each lead a mark moves along the calendar, in the transaction that writes the
-- notifications: appointments up to it have been dealt with. So a reminder costs nothing until it is due and is written
-- once; an appointment moved beyond the mark has another, one made within its lead has none, nor has a cancelled one.
-- Nothing is sent with less than half of the lead left: it would be of no use, or stand beside the next. Locks: marks.

create or replace function private.send_reminders(max_appointments integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_mark record;
  v_until timestamptz;
  v_appointment public.appointments;
  v_count integer := 0;
begin
  delete from private.reminder_marks as k
  where not exists (select 1 from private.message_settings as s where k.lead_minutes = any (s.reminder_minutes));
  insert into private.reminder_marks (lead_minutes, reminded_until)
  select lead, v_now + lead * interval '1 minute'
  from private.message_settings as s, unnest(s.reminder_minutes) as lead
  on conflict (lead_minutes) do nothing;

  for v_mark in select k.* from private.reminder_marks as k order by k.lead_minutes for update loop
    -- With ties, so that the mark never stands between appointments of the same instant.
    select case when count(*) < max_appointments then v_now + v_mark.lead_minutes * interval '1 minute' else max(due.appointment_date) end
    into v_until
    from (
      select a.appointment_date
      from public.appointments as a
      where a.status = 'confirmed' and a.appointment_date > v_mark.reminded_until
        and a.appointment_date <= v_now + v_mark.lead_minutes * interval '1 minute'
      order by a.appointment_date
      fetch first max_appointments rows with ties
    ) as due;
    for v_appointment in
      select a.*
      from public.appointments as a
      where a.status = 'confirmed' and a.appointment_date > v_mark.reminded_until and a.appointment_date <= v_until
        and a.appointment_date - v_mark.lead_minutes * interval '30 seconds' >= v_now
        and a.created_at < a.appointment_date - v_mark.lead_minutes * interval '1 minute'
    loop
      v_count := v_count + 1;
      perform private.notify(
        array[v_appointment.professional_id, v_appointment.survivor_id], 'appointment_reminder',
        match_id => v_appointment.matched_services, appointment_id => v_appointment.appointment_id
      );
      if v_appointment.created_via = 'public_booking' then
        insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, client_template, run_at)
        select 'mail', concat_ws(':', 'mail:client:reminder', c.appointment_id, v_appointment.sequence, v_mark.lead_minutes),
          'mail:client:' || c.appointment_id, c.appointment_id, 'appointment_reminder', v_now
        from public.appointment_clients as c
        where c.appointment_id = v_appointment.appointment_id and c.client_email is not null
        on conflict (dedupe_key) do nothing;
      end if;
    end loop;
    update private.reminder_marks as k
    set reminded_until = greatest(k.reminded_until, v_until)
    where k.lead_minutes = v_mark.lead_minutes;
  end loop;
  return v_count;
end;
$$;
comment on function private.send_reminders(integer) is 'Writes the reminders that are due, for about so many appointments of each lead. → how many reminders.';
revoke all on function private.send_reminders(integer) from public, anon, authenticated, service_role;

-- supabase/schemas/70_outbox/take_jobs.sql
-- A worker takes a batch of due jobs and learns at once what each means: claim_jobs and job_context in one call.
--
-- Called by the worker, which begins with what it takes right away. When one context cannot be read, none is given: the
-- worker then asks for each alone, so that a broken job costs only itself. Definer: as those. Locks: as those.

create or replace function private.take_jobs(worker_id text, max_jobs integer, lease_seconds integer, kinds text[])
returns table (
  job_id bigint, kind text, attempt integer, max_attempts integer, lease_token uuid, queued_at timestamptz, context jsonb
)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_ids bigint[];
  v_kinds text[];
  v_attempts integer[];
  v_most integer[];
  v_tokens uuid[];
  v_moments timestamptz[];
  v_contexts jsonb[];
begin
  select array_agg(c.job_id), array_agg(c.kind), array_agg(c.attempt), array_agg(c.max_attempts), array_agg(c.lease_token),
    array_agg(c.queued_at)
  into v_ids, v_kinds, v_attempts, v_most, v_tokens, v_moments
  from private.claim_jobs(worker_id, max_jobs, lease_seconds, kinds) as c;
  if v_ids is null then
    return;
  end if;
  -- A claim that a crash of the server takes back is made again by another worker while the first one acts on it. Only where
  -- nothing outside changes may that be: those claims do not wait for the disk.
  if v_kinds <@ '{probe,calendar_pull}'::text[] then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  begin
    select array_agg(
      case c.kind
        -- It means nothing that would have to be looked up.
        when 'probe' then '{"state": "due", "kind": "probe"}'::jsonb
        else private.job_context(c.id, c.token)
      end order by c.position
    ) into v_contexts
    from unnest(v_ids, v_kinds, v_tokens) with ordinality as c (id, kind, token, position);
  exception when others then
    v_contexts := null;
  end;
  return query
  select c.id, c.kind, c.attempt, c.most, c.token, c.moment, v_contexts[c.position]
  from unnest(v_ids, v_kinds, v_attempts, v_most, v_tokens, v_moments) with ordinality
    as c (id, kind, attempt, most, token, moment, position);
end;
$$;
comment on function private.take_jobs(text, integer, integer, text[]) is 'Definer: the outbox is private; reads addresses and credentials. The caller must be the worker.';
revoke all on function private.take_jobs(text, integer, integer, text[]) from public, anon, authenticated, service_role;
grant execute on function private.take_jobs(text, integer, integer, text[]) to service_role;

create or replace function public.take_jobs(worker_id text, max_jobs integer, lease_seconds integer, kinds text[] default null)
returns table (
  job_id bigint, kind text, attempt integer, max_attempts integer, lease_token uuid, queued_at timestamptz, context jsonb
)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return query select * from private.take_jobs(worker_id, max_jobs, lease_seconds, kinds);
end;
$$;
comment on function public.take_jobs(text, integer, integer, text[]) is
  'Worker: claim_jobs with the job_context of each job taken (null: ask for it alone). → one row for each.';
revoke all on function public.take_jobs(text, integer, integer, text[]) from public, anon, authenticated, service_role;
grant execute on function public.take_jobs(text, integer, integer, text[]) to service_role;

-- supabase/schemas/70_outbox/tg_outbox_jobs__admit.sql
-- New jobs ring the worker when one of them is due; one whose dedupe key was used by a pruned job is not queued again.
--
-- Called by: insert on private.outbox_jobs, after it: an insert that had to wait for the pruning of the same key sees the
-- kept key only then. Definer: jobs and keys are private, and the ring is sent as the owner. Locks: the repeated jobs.
-- Planned for indexes: docs/adr/0010.

create or replace function private.tg_outbox_jobs__admit()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_now timestamptz := private.clock();
begin
  if exists (
    select 1 from private.job_keys as k where k.dedupe_key = any (array(select q.dedupe_key from queued as q))
  ) then
    delete from private.outbox_jobs as j
    using queued as q
    join private.job_keys as k on k.dedupe_key = q.dedupe_key
    where j.id = q.id;
  end if;
  if exists (select 1 from queued as q where q.run_at <= v_now) then
    perform private.ring_doorbell();
  end if;
  return null;
end;
$$;
comment on function private.tg_outbox_jobs__admit() is 'Definer: the outbox is private. Takes back what had been done before, and rings for the rest.';
revoke all on function private.tg_outbox_jobs__admit() from public, anon, authenticated, service_role;

create trigger _900_admit
after insert on private.outbox_jobs
referencing new table as queued
for each statement execute function private.tg_outbox_jobs__admit();
