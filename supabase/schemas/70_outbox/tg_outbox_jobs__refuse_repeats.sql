-- A job whose dedupe key was used by a pruned one is not queued again.
--
-- Called by: insert on private.outbox_jobs, after it: an insert that had to wait for the pruning of the same key sees the
-- kept key only then. Definer: the keys are private. Locks: the repeated jobs.

create or replace function private.tg_outbox_jobs__refuse_repeats()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  delete from private.outbox_jobs as j
  using queued as q
  join private.job_keys as k on k.dedupe_key = q.dedupe_key
  where j.id = q.id;
  return null;
end;
$$;
comment on function private.tg_outbox_jobs__refuse_repeats() is 'Definer: the outbox is private. Takes back what had been done before.';
revoke all on function private.tg_outbox_jobs__refuse_repeats() from public, anon, authenticated, service_role;

create trigger _100_refuse_repeats
after insert on private.outbox_jobs
referencing new table as queued
for each statement execute function private.tg_outbox_jobs__refuse_repeats();
