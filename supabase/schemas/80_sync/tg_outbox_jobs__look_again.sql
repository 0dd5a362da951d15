-- A calendar job that took more than one attempt leaves another behind, which looks again when all requests have arrived.
--
-- Called by: update on private.outbox_jobs, whichever function ends the job. An attempt that was not answered, or whose
-- worker died, may write after the next one found nothing to remove, or removed it; conditions on the event cannot hold
-- off what creates it. Definer: the outbox is private. Locks: none.

create or replace function private.tg_outbox_jobs__look_again()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, connection_id, looks_again, run_at)
  select 'calendar_event', 'calendar:' || new.appointment_id || ':' || new.connection_id || ':look:' || gen_random_uuid(),
    new.ordering_key, new.appointment_id, new.connection_id, true, private.clock() + s.doubt_seconds * interval '1 second'
  from private.calendar_settings as s;
  return null;
end;
$$;
comment on function private.tg_outbox_jobs__look_again() is 'Definer: the outbox is private. Queues what removes the late effect of an unanswered attempt.';
revoke all on function private.tg_outbox_jobs__look_again() from public, anon, authenticated, service_role;

create trigger _500_look_again
after update of finished_at on private.outbox_jobs
for each row
when (
  new.kind = 'calendar_event' and new.state in ('done', 'dead') and old.state = 'running' and new.appointment_id is not null
  and (new.attempts > 1 or old.last_error = 'worker_stopped')
  -- Looking again only removes, which may come late without harm.
  and not new.looks_again
)
execute function private.tg_outbox_jobs__look_again();
