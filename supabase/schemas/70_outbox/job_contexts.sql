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
