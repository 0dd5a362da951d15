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
