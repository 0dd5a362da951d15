-- The outbox for operators: ids, states and symbols.
--
-- Called with the service key by `sauti-sync jobs`. Definer: the outbox is private. Locks: none.

create or replace function private.list_jobs(wanted_state text, max_jobs integer)
returns table (
  job_id bigint, kind text, state text, attempts integer, max_attempts integer, run_at timestamptz, last_error text,
  created_at timestamptz, finished_at timestamptz
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  return query
  select j.id, j.kind::text, j.state::text, j.attempts, j.max_attempts, j.run_at, j.last_error::text, j.created_at, j.finished_at
  from private.outbox_jobs as j
  where wanted_state is null or j.state = wanted_state
  order by j.id desc
  limit least(greatest(coalesce(list_jobs.max_jobs, 100), 0), 1000);
end;
$$;
comment on function private.list_jobs(text, integer) is 'Definer: the outbox is private. The caller must hold the service key.';
revoke all on function private.list_jobs(text, integer) from public, anon, authenticated, service_role;
grant execute on function private.list_jobs(text, integer) to service_role;

create or replace function public.list_jobs(state text default null, max_jobs integer default 100)
returns table (
  job_id bigint, kind text, state text, attempts integer, max_attempts integer, run_at timestamptz, last_error text,
  created_at timestamptz, finished_at timestamptz
)
language sql
stable
security invoker
set search_path = ''
as $$
  select * from private.list_jobs(state, max_jobs);
$$;
comment on function public.list_jobs(text, integer) is
  'Operators: the newest max_jobs (at most 1000) jobs, of one state or of all.';
revoke all on function public.list_jobs(text, integer) from public, anon, authenticated, service_role;
grant execute on function public.list_jobs(text, integer) to service_role;
