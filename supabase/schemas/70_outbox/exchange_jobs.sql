-- A worker hands in what it has done and takes what is due: complete_jobs and take_jobs in one transaction.
--
-- Called by the worker under load, where it halves the commits. Settling comes first: it lets the next job of the same
-- ordering key go. What is settled waits for the disk, whatever was taken. Locks: as those; since they are held
-- together, jobs that settle more than themselves (calendars) are to be settled alone.

create or replace function public.exchange_jobs(
  settlements jsonb, worker_id text, max_jobs integer, lease_seconds integer, kinds text[] default null
)
returns json
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_durability text := current_setting('synchronous_commit');
  v_settled json;
  v_taken json;
begin
  select json_agg(s.job_id) filter (where s.is_settled) into v_settled from private.complete_jobs(settlements) as s;
  select json_agg(t) into v_taken from private.take_jobs(worker_id, max_jobs, lease_seconds, kinds) as t;
  perform set_config('synchronous_commit', v_durability, true);
  return json_build_object('settled', coalesce(v_settled, '[]'), 'taken', coalesce(v_taken, '[]'));
end;
$$;
comment on function public.exchange_jobs(jsonb, text, integer, integer, text[]) is
  'Worker: complete_jobs, then take_jobs, in one transaction. → {settled, taken}: the ids of what is settled, and the rows of take_jobs.';
revoke all on function public.exchange_jobs(jsonb, text, integer, integer, text[]) from public, anon, authenticated, service_role;
grant execute on function public.exchange_jobs(jsonb, text, integer, integer, text[]) to service_role;
