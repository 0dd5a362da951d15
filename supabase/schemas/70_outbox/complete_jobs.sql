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
