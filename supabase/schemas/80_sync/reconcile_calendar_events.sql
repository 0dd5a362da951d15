-- What the owner has done by hand to the events that we wrote: a deleted one comes back once, a moved one is asked about.
--
-- Called by store_calendar_busy. An event is judged only when the reader knew it, it shows the appointment's present
-- sequence, was last written before the reading began and is not about to be written: else it is our own change that was
-- read. A moved event stays where it is until the appointment changes; two programs that correct each other would never
-- end. Locks: the mapping rows.

create or replace function private.reconcile_calendar_events(connection_id uuid, pulled jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_event record;
begin
  for v_event in
    select e.appointment_id, e.deletions, e.flagged_sequence, a.sequence, a.professional_id, c.user_id,
      (o.seen ->> 'gone')::boolean as is_gone,
      (o.seen ->> 'starts_at')::timestamptz is distinct from a.appointment_date
        or (o.seen ->> 'ends_at')::timestamptz is distinct from upper(private.appointment_during(a.appointment_date, a.duration_minutes))
        as is_moved
    from public.calendar_events as e
    join public.calendar_connections as c on c.id = e.connection_id
    join public.appointments as a on a.appointment_id = e.appointment_id
    join jsonb_array_elements(pulled -> 'own') as o (seen) on o.seen ->> 'appointment_id' = e.appointment_id::text
    where e.connection_id = reconcile_calendar_events.connection_id and e.sync_status = 'synced'
      and a.status in ('requested', 'confirmed') and a.appointment_date > private.clock() and e.synced_sequence = a.sequence
      and e.synced_at < (pulled ->> 'as_of')::timestamptz
      -- What a whole reading did not show is gone; a part of it says nothing about the rest. It must have been known when
      -- the reading began: a settlement that commits later bears the time of its own beginning.
      and (not coalesce((o.seen ->> 'absent')::boolean, false) or (pulled ->> 'is_full')::boolean)
      -- An appointment that was put outside the time that is read has left the reading by our own hand.
      and (not coalesce((o.seen ->> 'gone')::boolean, false) or (
        a.appointment_date >= (pulled ->> 'from')::timestamptz
        and upper(private.appointment_during(a.appointment_date, a.duration_minutes)) <= (pulled ->> 'until')::timestamptz
      ))
      and not exists (
        select 1
        from private.outbox_jobs as j
        where j.appointment_id = e.appointment_id and j.connection_id = e.connection_id and j.kind = 'calendar_event'
          and j.state in ('pending', 'running')
          -- Looking again writes nothing for an appointment that stands.
          and not j.looks_again
      )
    order by e.appointment_id
    for no key update of e
  loop
    if v_event.is_gone and v_event.deletions = 0 then
      update public.calendar_events as e
      set deletions = 1, sync_status = 'pending', external_event_id = null, etag = null
      where e.appointment_id = v_event.appointment_id and e.connection_id = reconcile_calendar_events.connection_id;
      insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, connection_id, run_at)
      values (
        'calendar_event',
        'calendar:' || v_event.appointment_id || ':' || connection_id || ':' || v_event.sequence || ':again:' || gen_random_uuid(),
        'calendar:' || v_event.appointment_id || ':' || connection_id, v_event.appointment_id, connection_id, private.clock()
      );
    elsif v_event.is_gone then
      update public.calendar_events as e
      set deletions = e.deletions + 1, sync_status = 'dismissed'
      where e.appointment_id = v_event.appointment_id and e.connection_id = reconcile_calendar_events.connection_id;
    elsif v_event.is_moved and v_event.flagged_sequence is distinct from v_event.sequence then
      update public.calendar_events as e
      set flagged_sequence = v_event.sequence
      where e.appointment_id = v_event.appointment_id and e.connection_id = reconcile_calendar_events.connection_id;
      perform private.notify(array[v_event.user_id], 'calendar_event_moved', appointment_id => v_event.appointment_id);
    end if;
  end loop;
end;
$$;
comment on function private.reconcile_calendar_events(uuid, jsonb) is 'Judges own events of one reading: recreated once, then dismissed; moved ones are told to the owner once for each sequence.';
revoke all on function private.reconcile_calendar_events(uuid, jsonb) from public, anon, authenticated, service_role;
