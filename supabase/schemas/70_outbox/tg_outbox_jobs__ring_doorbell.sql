-- New jobs ring the worker, once for each statement that adds jobs.
--
-- Called by: insert on private.outbox_jobs. Definer: it sends as the owner. A lost ring costs one poll interval.

create or replace function private.tg_outbox_jobs__ring_doorbell()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if exists (select 1 from queued) then
    perform private.ring_doorbell();
  end if;
  return null;
end;
$$;
comment on function private.tg_outbox_jobs__ring_doorbell() is 'Definer: sends to the worker''s private topic as the owner.';
revoke all on function private.tg_outbox_jobs__ring_doorbell() from public, anon, authenticated, service_role;

create trigger _900_ring_doorbell
after insert on private.outbox_jobs
referencing new table as queued
for each statement execute function private.tg_outbox_jobs__ring_doorbell();
