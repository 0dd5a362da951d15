-- Done jobs go when they are old; what they were about stays known, so that it is never queued again.
--
-- Called by run_due_timers, for a bounded number of jobs. Dead ones stay until somebody has looked at them. Locks: the
-- jobs. Planned for indexes: docs/adr/0010.

create or replace function private.prune_jobs(max_jobs integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_kept_since timestamptz := (
    select private.clock() - s.job_retention_days * interval '1 day' from private.message_settings as s
  );
  v_count integer;
begin
  with pruned as (
    delete from private.outbox_jobs as j
    where j.id = any (array(
      select d.id
      from private.outbox_jobs as d
      where d.state = 'done' and d.finished_at < v_kept_since
      order by d.finished_at
      limit prune_jobs.max_jobs
      for update skip locked
    ))
    returning j.dedupe_key
  )
  insert into private.job_keys (dedupe_key, created_at)
  select p.dedupe_key, private.clock()
  from pruned as p
  on conflict on constraint job_keys_pkey do nothing;
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.prune_jobs(integer) is 'Deletes at most max_jobs done jobs whose time of keeping is over. → how many.';
revoke all on function private.prune_jobs(integer) from public, anon, authenticated, service_role;
