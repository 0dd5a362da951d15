-- Queues one calendar job for each active calendar of both parties of an appointment.
--
-- Called by the appointments' trigger. One job for each calendar and sequence; jobs of one appointment and calendar run
-- in order. Locks: none.

create or replace function private.enqueue_calendar_jobs(appointment public.appointments)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  -- Most people have no calendar connected, and an insert of nothing still runs its triggers.
  if not exists (
    select 1
    from public.calendar_connections as c
    where c.user_id in (appointment.professional_id, appointment.survivor_id) and c.status = 'active'
  ) then
    return;
  end if;
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, connection_id, run_at)
  select 'calendar_event', 'calendar:' || appointment.appointment_id || ':' || c.id || ':' || appointment.sequence,
    'calendar:' || appointment.appointment_id || ':' || c.id, appointment.appointment_id, c.id, private.clock()
  from public.calendar_connections as c
  where c.user_id in (appointment.professional_id, appointment.survivor_id) and c.status = 'active'
  on conflict (dedupe_key) do nothing;
end;
$$;
comment on function private.enqueue_calendar_jobs(public.appointments) is 'Jobs of kind calendar_event for the appointment''s present sequence.';
revoke all on function private.enqueue_calendar_jobs(public.appointments) from public, anon, authenticated, service_role;
