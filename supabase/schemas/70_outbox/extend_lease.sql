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
