-- Many jobs are done: each is settled as by complete_job, all in one transaction.
--
-- Called by the worker. A stale lease is an answer and no error. Definer: the outbox is private. Locks: the jobs, in the
-- order of their ids; then what complete_job locks, in the order of the connections. It is planned for indexes: the queue
-- is empty when a connection plans and full when it works, so that a plan by statistics would read the whole table.

create or replace function private.complete_jobs(settlements jsonb)
returns table (job_id bigint, is_settled boolean)
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_now timestamptz := private.clock();
  v_settled bigint[];
begin
  perform private.require_service_role();
  with given as materialized (
    select g.job_id as id, g.lease_token as token, g.result
    from jsonb_to_recordset(settlements) as g (job_id bigint, lease_token uuid, result jsonb)
    order by g.job_id
  ), ordinary as (
    update private.outbox_jobs as j
    set state = 'done', result = g.result, last_error = null, finished_at = v_now, leased_until = null
    from given as g
    where j.id = g.id and j.lease_token = g.token
      -- Written so that it does not invite the index of leases, and a walk through all of them for each job.
      and coalesce(j.state, '') = 'running'
      and j.kind in ('mail', 'sms', 'probe') and coalesce(pg_column_size(g.result) <= 8192, true)
    returning j.id
  )
  select array_agg(o.id) into v_settled from ordinary as o;

  if cardinality(v_settled) = jsonb_array_length(settlements) then
    return query select s.id, true from unnest(v_settled) as s (id);
    return;
  end if;

  perform private.complete_job(special.id, special.lease_token, special.result)
  from (
    select j.id, j.lease_token, g.result
    from private.outbox_jobs as j
    join jsonb_to_recordset(settlements) as g (job_id bigint, lease_token uuid, result jsonb)
      on g.job_id = j.id and g.lease_token = j.lease_token
    where j.state = 'running'
    order by j.connection_id, j.id
  ) as special;

  return query
  select g.job_id, exists (
    select 1
    from private.outbox_jobs as j
    where j.id = g.job_id and j.lease_token = g.lease_token and j.state = 'done'
  )
  from jsonb_to_recordset(settlements) as g (job_id bigint, lease_token uuid);
end;
$$;
comment on function private.complete_jobs(jsonb) is 'Definer: the outbox is private. The caller must be the worker and hold the leases.';
revoke all on function private.complete_jobs(jsonb) from public, anon, authenticated, service_role;
grant execute on function private.complete_jobs(jsonb) to service_role;

create or replace function public.complete_jobs(settlements jsonb)
returns table (job_id bigint, is_settled boolean)
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
