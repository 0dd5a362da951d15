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
