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
