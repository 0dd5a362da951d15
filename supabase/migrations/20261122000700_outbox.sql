-- The baseline of supabase/schemas/70_outbox: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/70_outbox/tables.sql
-- The transactional outbox: jobs for the worker, written in the transaction of the change that causes them.
--
-- Ids only, never personal data: the worker reads the present state with job_context when it runs the job.

create table private.outbox_jobs (
  id bigint generated always as identity primary key,
  kind text not null check (kind ~ '^[a-z_]{2,40}$'),
  dedupe_key text not null unique check (length(dedupe_key) <= 200),
  ordering_key text check (length(ordering_key) <= 200),
  priority smallint not null default 50,
  notification_id uuid references public.notifications (id) on delete cascade,
  appointment_id uuid references public.appointments (appointment_id) on delete cascade,
  connection_id uuid,
  client_template text check (client_template in (
    'appointment_requested', 'appointment_confirmed', 'appointment_changed', 'appointment_cancelled'
  )),
  state text not null default 'pending' check (state in ('pending', 'running', 'done', 'dead')),
  attempts integer not null default 0,
  max_attempts integer not null default 12,
  run_at timestamptz not null,
  lease_token uuid,
  leased_until timestamptz,
  worker_id text check (length(worker_id) <= 200),
  last_error text check (length(last_error) <= 200),
  result jsonb,
  created_at timestamptz not null default now(),
  finished_at timestamptz
);
create index outbox_jobs_due_idx on private.outbox_jobs (priority, id) where state in ('pending', 'running');
create index outbox_jobs_ordering_idx on private.outbox_jobs (ordering_key, id)
  where state in ('pending', 'running') and ordering_key is not null;
create index outbox_jobs_leases_idx on private.outbox_jobs (leased_until) where state = 'running';
create index outbox_jobs_dead_idx on private.outbox_jobs (id) where state = 'dead';
create index outbox_jobs_notification_id_idx on private.outbox_jobs (notification_id);
create index outbox_jobs_appointment_id_idx on private.outbox_jobs (appointment_id);
create index outbox_jobs_connection_id_idx on private.outbox_jobs (connection_id);
comment on table private.outbox_jobs is 'What the worker has to carry outside. Ids only. The lease is a column; settling needs its token.';
comment on column private.outbox_jobs.id is 'Key, in the order of making.';
comment on column private.outbox_jobs.kind is 'mail or calendar_event.';
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
comment on column private.outbox_jobs.created_at is 'When it was queued.';
comment on column private.outbox_jobs.finished_at is 'When it became done or dead.';

-- supabase/schemas/70_outbox/appointment_facts.sql
-- What a calendar may know of an appointment: times, state, link. Never a name, a service or an incident.
--
-- Called by mail_context and calendar_event_context. Locks: none.

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
-- Called by the worker. Due are pending jobs whose time has come and running ones whose lease has run out. Jobs of one
-- ordering key are taken one at a time, oldest first. A job that has used up its attempts by never being settled is
-- dead: it probably kills its worker. Definer: the outbox is private. Locks: the rows taken, skipping locked ones.

create or replace function private.claim_jobs(worker_id text, max_jobs integer, lease_seconds integer, kinds text[])
returns table (
  job_id bigint, kind text, attempt integer, max_attempts integer, lease_token uuid, leased_until timestamptz,
  queued_at timestamptz
)
language plpgsql
volatile
security definer
set search_path = ''
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
  update private.outbox_jobs as j
  set state = 'dead', last_error = coalesce(j.last_error, 'lease_expired'), finished_at = v_now
  where j.id in (
    select d.id
    from private.outbox_jobs as d
    where d.state = 'running' and d.leased_until <= v_now and d.attempts >= d.max_attempts
    for update skip locked
  );

  return query
  with due as materialized (
    select j.id
    from private.outbox_jobs as j
    where j.state in ('pending', 'running')
      and (
        (j.state = 'pending' and j.run_at <= v_now)
        or (j.state = 'running' and j.leased_until <= v_now and j.attempts < j.max_attempts)
      )
      and (claim_jobs.kinds is null or j.kind = any (claim_jobs.kinds))
      and (j.ordering_key is null or not exists (
        select 1
        from private.outbox_jobs as other
        where other.ordering_key = j.ordering_key and other.id <> j.id and other.state in ('pending', 'running')
          -- A dead job that is retried is older than one that runs already.
          and (other.id < j.id or (other.state = 'running' and other.leased_until > v_now))
      ))
    order by j.priority, j.id
    limit claim_jobs.max_jobs
    for update skip locked
  )
  update private.outbox_jobs as j
  set state = 'running', attempts = j.attempts + 1, lease_token = gen_random_uuid(), worker_id = claim_jobs.worker_id,
    leased_until = v_now + claim_jobs.lease_seconds * interval '1 second'
  from due
  where j.id = due.id
  returning j.id, j.kind, j.attempts, j.max_attempts, j.lease_token, j.leased_until, j.created_at;
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
  end) then
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
-- private. Locks: the job.

create or replace function private.complete_job(job_id bigint, lease_token uuid, result jsonb)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job private.outbox_jobs;
begin
  perform private.require_service_role();
  if exists (
    select 1
    from private.outbox_jobs as j
    where j.id = complete_job.job_id and j.lease_token = complete_job.lease_token and j.state = 'done'
  ) then
    return;
  end if;
  if pg_column_size(result) > 8192 then
    perform private.raise_error('invalid_input', 'result: at most 8 kB');
  end if;
  v_job := private.leased_job(job_id, lease_token);
  if v_job.kind = 'calendar_event' then
    perform private.record_calendar_result(v_job.appointment_id, v_job.connection_id, result);
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
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.complete_job(job_id, lease_token, result);
$$;
comment on function public.complete_job(bigint, uuid, jsonb) is
  'Worker: settles a job as done, with what was achieved. Errors: invalid_transition (stale lease), invalid_input.';
revoke all on function public.complete_job(bigint, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.complete_job(bigint, uuid, jsonb) to service_role;

-- supabase/schemas/70_outbox/extend_lease.sql
-- A worker that is still busy keeps its job.
--
-- Called by the worker that holds the lease. Definer: the outbox is private. Locks: the job.

create or replace function private.extend_lease(job_id bigint, lease_token uuid, lease_seconds integer)
returns timestamptz
language plpgsql
volatile
security definer
set search_path = ''
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
-- Locks: the job.

create or replace function private.fail_job(job_id bigint, lease_token uuid, error text, retry_in_seconds numeric)
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job private.outbox_jobs;
  v_state text;
begin
  perform private.require_service_role();
  if error is null or error !~ '^[a-z0-9_]{2,80}$' then
    perform private.raise_error('invalid_input', 'error: a symbol of 2 to 80 lower-case letters, digits and underscores.');
  elsif retry_in_seconds not between 0 and 604800 then
    perform private.raise_error('invalid_input', 'retry_in_seconds: 0 to 604800.');
  end if;
  v_job := private.leased_job(job_id, lease_token);
  if fail_job.error = 'worker_stopped' then
    -- A worker that hands its job back has not tried it: a restart costs no attempt and is nobody's failure.
    v_job.attempts := v_job.attempts - 1;
  end if;
  v_state := case when retry_in_seconds is null or v_job.attempts >= v_job.max_attempts then 'dead' else 'pending' end;
  update private.outbox_jobs as j
  set state = v_state, attempts = v_job.attempts, last_error = fail_job.error, leased_until = null, lease_token = null,
    run_at = private.clock() + coalesce(retry_in_seconds, 0) * interval '1 second',
    finished_at = case v_state when 'dead' then private.clock() end
  where j.id = v_job.id;
  if v_job.kind = 'calendar_event' and fail_job.error <> 'worker_stopped' then
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
-- Called by the worker just before it acts. obsolete = the reason has gone; postponed = not now (safe hours), already
-- put back by this call; due = everything the handler needs. Definer: it reads addresses and credentials for the worker
-- alone. Locks: the job.

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
    when v_job.kind = 'mail' then private.mail_context(v_job.notification_id)
    when v_job.kind = 'calendar_event' then private.calendar_event_context(v_job.appointment_id, v_job.connection_id)
  end;
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

-- supabase/schemas/70_outbox/leased_job.sql
-- The job of a current lease, locked; a stale lease is refused.
--
-- Called first by every function that settles, extends or reads a job. A worker that stalled and lost its lease can
-- change nothing, because the next claim drew another token. Locks: the job.

create or replace function private.leased_job(job_id bigint, lease_token uuid)
returns private.outbox_jobs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_job private.outbox_jobs;
begin
  perform private.require_service_role();
  select j.* into v_job
  from private.outbox_jobs as j
  where j.id = leased_job.job_id and j.lease_token = leased_job.lease_token and j.state = 'running'
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
  select j.id, j.kind, j.state, j.attempts, j.max_attempts, j.run_at, j.last_error, j.created_at, j.finished_at
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

-- supabase/schemas/70_outbox/mail_context.sql
-- What the mail for a notification needs, or why there is none to send.
--
-- Called by job_context, so just before the mail goes: a cancelled session reminds nobody. A professional is reached at
-- the account's address. A survivor only when that case's contact preference is mail, at the address of the report or
-- of the account, and only in safe hours. Anything else is obsolete. Locks: none.

create or replace function private.mail_context(notification_id uuid)
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
  v_address text;
  v_safe_at timestamptz;
begin
  select n.* into v_notification from public.notifications as n where n.id = mail_context.notification_id;
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
    when 'completion_requested' then v_match.match_status_type = 'accepted'
    when 'completion_disputed' then v_match.match_status_type = 'accepted' and v_match.professional_completed_at is null
    when 'case_closed' then v_match.match_status_type = 'completed'
    when 'case_escalated' then exists (
      select 1 from private.escalations as e where e.report_id = v_report.report_id and e.resolved_at is null
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
    if v_report.contact_preference <> 'email' then
      return null;
    end if;
    v_address := coalesce(v_report.contact_email, v_address);
    v_safe_at := private.next_safe_time(
      private.clock(), v_reader.time_zone, v_report.safe_contact_from, v_report.safe_contact_until
    );
    if v_safe_at > private.clock() then
      return jsonb_build_object('state', 'postponed', 'until', v_safe_at);
    end if;
  end if;
  if v_address is null or v_address = '' then
    return null;
  end if;

  return jsonb_build_object(
    'state', 'due',
    'kind', 'mail',
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
comment on function private.mail_context(uuid) is 'jsonb {state: due | postponed, message, appointment}, or null when there is no mail to send.';
revoke all on function private.mail_context(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/70_outbox/next_safe_time.sql
-- Whether a time of day lies in somebody's safe hours, and if not, when they next begin.
--
-- Called by mail_context. `from` after `until` means over midnight; equal means all day. Pure, so that it can be tested
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
      'pending', count(*) filter (where j.state = 'pending'),
      'running', count(*) filter (where j.state = 'running'),
      'dead', (select count(*) from private.outbox_jobs as d where d.state = 'dead'),
      'oldest_pending_seconds', coalesce(
        extract(epoch from private.clock() - min(j.run_at) filter (where j.state = 'pending' and j.run_at <= private.clock())), 0
      )
    )
    from private.outbox_jobs as j
    where j.state in ('pending', 'running')
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
    perform realtime.send('{}'::jsonb, 'jobs', 'sauti_sync', true);
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

-- supabase/schemas/70_outbox/run_due_timers.sql
-- Everything that happens because time passes: offers and requests expire, the response clock advances.
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
  delete from private.booking_counters as b where b.window_ends_at <= private.clock();
  return jsonb_build_object('expired', private.expire_offers(200), 'requests_expired', private.expire_requests(200))
    || private.advance_response_clocks(200);
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
  'Worker: takes every step that is due, of the response clock and of requests that nobody confirmed. → jsonb counts: expired, requests_expired, nudged, widened, opened, escalated, searched.';
revoke all on function public.run_due_timers() from public, anon, authenticated, service_role;
grant execute on function public.run_due_timers() to service_role;

-- supabase/schemas/70_outbox/tg_outbox_jobs__ring_doorbell.sql
-- New jobs ring the worker: one private realtime event for each statement that adds jobs.
--
-- Called by: insert on private.outbox_jobs. Definer: it sends as the owner. A lost ring costs one poll interval.

create or replace function private.tg_outbox_jobs__ring_doorbell()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if exists (select 1 from queued) then
    perform realtime.send('{}'::jsonb, 'jobs', 'sauti_sync', true);
  end if;
  return null;
end;
$$;
comment on function private.tg_outbox_jobs__ring_doorbell() is 'Definer: sends to the worker''s private topic as the owner.';
revoke all on function private.tg_outbox_jobs__ring_doorbell() from public, anon, authenticated, service_role;

create trigger _900_ring_doorbell
after insert on private.outbox_jobs
referencing new table as queued
for each statement execute function private.tg_outbox_jobs__ring_doorbell();
