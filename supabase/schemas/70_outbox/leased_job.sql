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
