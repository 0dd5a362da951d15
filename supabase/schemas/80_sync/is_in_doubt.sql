-- Whether a calendar job that has not ended may still have a request under way that nobody will answer for.
--
-- Called where a calendar is emptied for good and its jobs go: by the retirement of a connection, and by doubtful_until.
-- True while it runs, when an attempt has failed or been handed back, and when it waits to look again. Locks: none.

create or replace function private.is_in_doubt(job private.outbox_jobs)
returns boolean
language sql
immutable
security invoker
set search_path = ''
as $$
  select job.kind = 'calendar_event' and (
    job.state = 'running' or (job.state = 'pending' and (job.attempts > 0 or job.looks_again or job.last_error = 'worker_stopped'))
  );
$$;
comment on function private.is_in_doubt(private.outbox_jobs) is 'Whether what a calendar job has sent may still take effect.';
revoke all on function private.is_in_doubt(private.outbox_jobs) from public, anon, authenticated, service_role;
