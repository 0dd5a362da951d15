-- Confirmed appointments to come that meet a busy time of one calendar.
--
-- Called by store_calendar_busy before and after a reading. Locks: none.

create or replace function private.clashing_appointments(professional_id uuid, connection_id uuid)
returns uuid[]
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(array_agg(distinct a.appointment_id), '{}')
  from public.appointments as a
  join public.calendar_busy as b
    on b.professional_id = a.professional_id and b.during && private.appointment_during(a.appointment_date, a.duration_minutes)
  where a.professional_id = clashing_appointments.professional_id and a.status = 'confirmed'
    and a.appointment_date > private.clock() and b.connection_id = clashing_appointments.connection_id;
$$;
comment on function private.clashing_appointments(uuid, uuid) is 'Ids of confirmed future appointments of the professional at which the calendar is busy.';
revoke all on function private.clashing_appointments(uuid, uuid) from public, anon, authenticated, service_role;
