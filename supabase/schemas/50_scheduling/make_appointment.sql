-- Inserts an appointment, or says slot_taken without telling by whom.
--
-- Called by acceptance, with both people locked. The first look finds a conflict without an error in the log; the
-- exclusion constraints are the backstop, and their message, which holds the other row's values, never leaves here.

create or replace function private.make_appointment(
  professional_id uuid, survivor_id uuid, match_id uuid, starts_at timestamptz, duration_minutes integer,
  appointment_type text, status public.appointment_status, created_via public.appointment_source
)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_appointment public.appointments;
begin
  if private.is_engaged(professional_id, starts_at, duration_minutes) or exists (
    select 1
    from public.appointments as a
    where a.survivor_id = make_appointment.survivor_id
      and a.status in ('requested', 'confirmed')
      and private.appointment_during(a.appointment_date, a.duration_minutes)
        && private.appointment_during(make_appointment.starts_at, make_appointment.duration_minutes)
  ) then
    perform private.raise_error('slot_taken');
  end if;
  insert into public.appointments (
    professional_id, survivor_id, matched_services, appointment_date, duration_minutes, appointment_type, status,
    created_via, time_zone, created_at, updated_at
  )
  select p.id, make_appointment.survivor_id, match_id, starts_at, make_appointment.duration_minutes,
    make_appointment.appointment_type, make_appointment.status, make_appointment.created_via, p.time_zone, v_now, v_now
  from public.professionals as p
  where p.id = make_appointment.professional_id
  returning * into v_appointment;
  return v_appointment;
exception
  when exclusion_violation or deadlock_detected then
    perform private.raise_error('slot_taken');
end;
$$;
comment on function private.make_appointment(uuid, uuid, uuid, timestamptz, integer, text, public.appointment_status, public.appointment_source)
  is 'Makes an appointment in the professional''s time zone; raises slot_taken.';
revoke all on function private.make_appointment(uuid, uuid, uuid, timestamptz, integer, text, public.appointment_status, public.appointment_source)
  from public, anon, authenticated, service_role;
