-- New jobs ring the worker when one of them is due; one whose dedupe key was used by a pruned job is not queued again.
--
-- Called by: insert on private.outbox_jobs, after it: an insert that had to wait for the pruning of the same key sees the
-- kept key only then. Definer: jobs and keys are private, and the ring is sent as the owner. Locks: the repeated jobs.
-- Planned for indexes: docs/adr/0010.

create or replace function private.tg_outbox_jobs__admit()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_now timestamptz := private.clock();
begin
  if exists (
    select 1 from private.job_keys as k where k.dedupe_key = any (array(select q.dedupe_key from queued as q))
  ) then
    delete from private.outbox_jobs as j
    using queued as q
    join private.job_keys as k on k.dedupe_key = q.dedupe_key
    where j.id = q.id;
  end if;
  if exists (select 1 from queued as q where q.run_at <= v_now) then
    perform private.ring_doorbell();
  end if;
  return null;
end;
$$;
comment on function private.tg_outbox_jobs__admit() is 'Definer: the outbox is private. Takes back what had been done before, and rings for the rest.';
revoke all on function private.tg_outbox_jobs__admit() from public, anon, authenticated, service_role;

create trigger _900_admit
after insert on private.outbox_jobs
referencing new table as queued
for each statement execute function private.tg_outbox_jobs__admit();
