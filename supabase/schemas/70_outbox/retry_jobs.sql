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
