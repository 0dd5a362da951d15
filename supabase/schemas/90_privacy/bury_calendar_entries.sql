-- Before a professional's account goes: one job for each session to come that stands in a survivor's calendar.
--
-- Called by the erasure of an account, because the job that cancelling queued goes with the appointment. A tombstone waits
-- for a job that may just be writing the same entry, and for what an earlier attempt has sent. The person's own calendars
-- are emptied when their connections go. Locks: none.

create or replace function private.bury_calendar_entries(person_id uuid)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_buried integer;
begin
  with entries as materialized (
    select gen_random_uuid() as tombstone_id, a.appointment_id, c.id as connection_id, e.external_event_id, e.etag,
      private.doubtful_until(c.id, a.appointment_id) as doubtful_until,
      e.appointment_id is not null and e.sync_status <> 'removed' as stands
    from public.appointments as a
    join public.calendar_connections as c on c.user_id = a.survivor_id and c.status = 'active'
    left join public.calendar_events as e on e.appointment_id = a.appointment_id and e.connection_id = c.id
    where a.professional_id = person_id and a.appointment_date > v_now
  ),
  buried as (
    insert into private.calendar_tombstones (id, connection_id, appointment_id, external_event_id, etag, created_at)
    select b.tombstone_id, b.connection_id, b.appointment_id, b.external_event_id, b.etag, v_now
    from entries as b
    where b.stands or b.doubtful_until is not null
  )
  insert into private.outbox_jobs (kind, dedupe_key, connection_id, tombstone_id, run_at)
  select 'calendar_event', 'tombstone:' || b.tombstone_id, b.connection_id, b.tombstone_id, greatest(v_now, b.doubtful_until)
  from entries as b
  where b.stands or b.doubtful_until is not null;
  get diagnostics v_buried = row_count;
  return v_buried;
end;
$$;
comment on function private.bury_calendar_entries(uuid) is 'Writes tombstones and their jobs for the entries that lose their appointment; gives back how many.';
revoke all on function private.bury_calendar_entries(uuid) from public, anon, authenticated, service_role;
