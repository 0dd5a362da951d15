-- A worker takes a batch of due jobs and learns at once what each means: claim_jobs and job_context in one call.
--
-- Called by the worker, which begins with what it takes right away. When one context cannot be read, none is given: the
-- worker then asks for each alone, so that a broken job costs only itself. Definer: as those. Locks: as those.

create or replace function private.take_jobs(worker_id text, max_jobs integer, lease_seconds integer, kinds text[])
returns table (
  job_id bigint, kind text, attempt integer, max_attempts integer, lease_token uuid, queued_at timestamptz, context jsonb
)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_claimed jsonb;
  v_contexts jsonb;
begin
  select jsonb_agg(to_jsonb(c)) into v_claimed from private.claim_jobs(worker_id, max_jobs, lease_seconds, kinds) as c;
  if v_claimed is null then
    return;
  end if;
  begin
    select jsonb_object_agg(c.job_id, private.job_context(c.job_id, c.lease_token)) into v_contexts
    from jsonb_to_recordset(v_claimed) as c (job_id bigint, lease_token uuid);
  exception when others then
    v_contexts := null;
  end;
  return query
  select c.job_id, c.kind, c.attempt, c.max_attempts, c.lease_token, c.queued_at, v_contexts -> c.job_id::text
  from jsonb_to_recordset(v_claimed) as c (
    job_id bigint, kind text, attempt integer, max_attempts integer, lease_token uuid, queued_at timestamptz
  );
end;
$$;
comment on function private.take_jobs(text, integer, integer, text[]) is 'Definer: the outbox is private; reads addresses and credentials. The caller must be the worker.';
revoke all on function private.take_jobs(text, integer, integer, text[]) from public, anon, authenticated, service_role;
grant execute on function private.take_jobs(text, integer, integer, text[]) to service_role;

create or replace function public.take_jobs(worker_id text, max_jobs integer, lease_seconds integer, kinds text[] default null)
returns table (
  job_id bigint, kind text, attempt integer, max_attempts integer, lease_token uuid, queued_at timestamptz, context jsonb
)
language sql
volatile
security invoker
set search_path = ''
as $$
  select * from private.take_jobs(worker_id, max_jobs, lease_seconds, kinds);
$$;
comment on function public.take_jobs(text, integer, integer, text[]) is
  'Worker: claim_jobs with the job_context of each job taken (null: ask for it alone). → one row for each.';
revoke all on function public.take_jobs(text, integer, integer, text[]) from public, anon, authenticated, service_role;
grant execute on function public.take_jobs(text, integer, integer, text[]) to service_role;
