-- After a survivor's account has gone: one job for each past session that stands in a professional's calendar.
--
-- Called by the erasure of an account. The professional keeps the hour and loses the case code, which is the survivor's:
-- when the job runs, the appointment belongs to no case any more. Sessions to come are cancelled, and cancelling takes
-- their entries out. Locks: the entries.

create or replace function private.rewrite_calendar_entries(person_id uuid)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_rewritten integer;
begin
  with entries as (
    update public.calendar_events as e
    set synced_sequence = a.sequence - 1
    from public.appointments as a, public.calendar_connections as c
    where a.survivor_id = person_id and a.matched_services is not null and a.status <> 'cancelled'
      and e.appointment_id = a.appointment_id and e.sync_status = 'synced'
      and c.id = e.connection_id and c.user_id <> person_id and c.status = 'active'
    returning e.appointment_id, e.connection_id
  )
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, connection_id, run_at)
  select 'calendar_event', 'rewrite:' || e.appointment_id || ':' || e.connection_id,
    'calendar:' || e.appointment_id || ':' || e.connection_id, e.appointment_id, e.connection_id, private.clock()
  from entries as e;
  get diagnostics v_rewritten = row_count;
  return v_rewritten;
end;
$$;
comment on function private.rewrite_calendar_entries(uuid) is 'Queues what takes a survivor''s case code out of the calendars of others; gives back how many entries.';
revoke all on function private.rewrite_calendar_entries(uuid) from public, anon, authenticated, service_role;
