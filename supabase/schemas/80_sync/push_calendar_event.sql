-- Puts one appointment into the caller's own calendars now, whatever was written there before.
--
-- Called by either party. What a calendar is said to show is forgotten, so that an entry deleted by hand comes back; a job
-- that already waits is not doubled. Definer: it writes the outbox. Locks: the mapping rows.

create or replace function private.push_calendar_event(appointment_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_appointment public.appointments;
  v_queued integer;
begin
  select a.* into v_appointment
  from public.appointments as a
  where a.appointment_id = push_calendar_event.appointment_id and v_user_id in (a.professional_id, a.survivor_id);
  if not found then
    perform private.raise_error('not_found');
  end if;
  update public.calendar_events as e
  set sync_status = 'pending', deletions = 0
  from public.calendar_connections as c
  where e.appointment_id = v_appointment.appointment_id and c.id = e.connection_id and c.user_id = v_user_id
    and c.status = 'active';
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, priority, appointment_id, connection_id, run_at)
  select 'calendar_event',
    'calendar:' || v_appointment.appointment_id || ':' || c.id || ':' || v_appointment.sequence || ':pushed:' || gen_random_uuid(),
    'calendar:' || v_appointment.appointment_id || ':' || c.id, 20, v_appointment.appointment_id, c.id, private.clock()
  from public.calendar_connections as c
  where c.user_id = v_user_id and c.status = 'active'
    and not exists (
      select 1
      from private.outbox_jobs as j
      where j.appointment_id = v_appointment.appointment_id and j.connection_id = c.id and j.kind = 'calendar_event'
        and j.state = 'pending' and j.run_at <= private.clock() and not j.looks_again
    );
  get diagnostics v_queued = row_count;
  return jsonb_build_object('queued', v_queued);
end;
$$;
comment on function private.push_calendar_event(uuid) is 'Definer: the outbox is private. The caller must be a party of the appointment.';
revoke all on function private.push_calendar_event(uuid) from public, anon, authenticated, service_role;
grant execute on function private.push_calendar_event(uuid) to authenticated;

create or replace function public.push_calendar_event(appointment_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.push_calendar_event(appointment_id);
end;
$$;
comment on function public.push_calendar_event(uuid) is
  'Either party: writes the appointment into the caller''s own active calendars now. → jsonb {queued}: how many jobs were added. Errors: not_found.';
revoke all on function public.push_calendar_event(uuid) from public, anon, authenticated, service_role;
grant execute on function public.push_calendar_event(uuid) to anon, authenticated;
