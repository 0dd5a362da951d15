-- The baseline of supabase/schemas/50_scheduling: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/50_scheduling/tables.sql
-- What decides when a professional is free: weekly hours and the times that differ from them.
--
-- Written by their owners. Appointments themselves are made with acceptance (40_acceptance/tables.sql).

create table public.availability_rules (
  id uuid primary key default gen_random_uuid(),
  professional_id uuid not null default auth.uid() references public.professionals (id) on delete cascade,
  weekday smallint not null,
  start_time time not null,
  end_time time not null,
  created_at timestamptz not null default now(),
  constraint availability_rules_weekday_iso check (weekday between 1 and 7),
  constraint availability_rules_starts_before_end check (start_time < end_time),
  constraint availability_rules_once unique (professional_id, weekday, start_time, end_time)
);
comment on table public.availability_rules is 'Weekly working hours. No rows = Monday to Friday 09:00 to 17:00 in the professional''s time zone.';
comment on column public.availability_rules.id is 'Key.';
comment on column public.availability_rules.professional_id is 'Whose hours.';
comment on column public.availability_rules.weekday is 'ISO: 1 = Monday to 7 = Sunday.';
comment on column public.availability_rules.start_time is 'Local time of day.';
comment on column public.availability_rules.end_time is 'Local time of day, up to 24:00.';
comment on column public.availability_rules.created_at is 'When the row was made.';

create table public.availability_exceptions (
  id uuid primary key default gen_random_uuid(),
  professional_id uuid not null default auth.uid() references public.professionals (id) on delete cascade,
  during tstzrange not null,
  kind text not null,
  reason text,
  created_at timestamptz not null default now(),
  constraint availability_exceptions_kind_known check (kind in ('blocked', 'open')),
  constraint availability_exceptions_during_whole check (
    not isempty(during) and not lower_inf(during) and not upper_inf(during)
    and isfinite(lower(during)) and isfinite(upper(during)) and upper(during) - lower(during) <= interval '366 days'
  ),
  constraint availability_exceptions_reason_length check (length(reason) <= 300)
);
create index availability_exceptions_during_idx on public.availability_exceptions using gist (professional_id, during);
create index availability_exceptions_professional_id_idx on public.availability_exceptions (professional_id);
comment on table public.availability_exceptions is 'Times that differ from the weekly hours.';
comment on column public.availability_exceptions.id is 'Key.';
comment on column public.availability_exceptions.professional_id is 'Whose time.';
comment on column public.availability_exceptions.during is 'From when until when; at most 366 days.';
comment on column public.availability_exceptions.kind is 'blocked or open.';
comment on column public.availability_exceptions.reason is 'For the professional''s own memory; at most 300 characters.';
comment on column public.availability_exceptions.created_at is 'When the row was made.';

-- supabase/schemas/50_scheduling/cancel_appointment.sql
-- Either party calls a live appointment off; the time is free at once.
--
-- Called by either party. Definer: appointments are not writable directly. Repeated, it changes nothing. Locks: the professional,
-- then the appointment.

create or replace function private.cancel_appointment(appointment_id uuid, reason text)
returns public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_appointment public.appointments;
begin
  if length(reason) > 500 then
    perform private.raise_error('invalid_input', 'reason: at most 500 characters');
  end if;
  v_appointment := private.own_appointment(appointment_id, false);
  if v_appointment.status <> 'cancelled' then
    update public.appointments as a
    set status = 'cancelled', cancel_reason = reason, cancelled_by = v_user_id
    where a.appointment_id = v_appointment.appointment_id
    returning a.* into v_appointment;
  end if;
  return v_appointment;
end;
$$;
comment on function private.cancel_appointment(uuid, text) is 'Definer: appointments are not writable directly. The caller must be one of its parties.';
revoke all on function private.cancel_appointment(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.cancel_appointment(uuid, text) to authenticated;

create or replace function public.cancel_appointment(appointment_id uuid, reason text default null)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.cancel_appointment(appointment_id, reason);
end;
$$;
comment on function public.cancel_appointment(uuid, text) is 'Either party: requested or confirmed → cancelled. reason of at most 500 characters. → the appointment. Errors: not_found, invalid_transition, invalid_input.';
revoke all on function public.cancel_appointment(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.cancel_appointment(uuid, text) to anon, authenticated;

-- supabase/schemas/50_scheduling/check_appointment_time.sql
-- Refuses a time, a duration or a type that no appointment can have.
--
-- Called before any lock is taken by every function that makes or moves an appointment. Locks: none.

create or replace function private.check_appointment_time(starts_at timestamptz, duration_minutes integer, appointment_type text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if starts_at is null or not isfinite(starts_at) then
    perform private.raise_error('invalid_input', 'starts_at: not a moment.');
  elsif starts_at <= private.clock() then
    perform private.raise_error('in_the_past');
  elsif starts_at > private.clock() + interval '2 years' then
    perform private.raise_error('invalid_input', 'starts_at: more than two years ahead.');
  elsif duration_minutes is null or duration_minutes not between 30 and 120 then
    perform private.raise_error('invalid_duration');
  elsif appointment_type is null or appointment_type !~ '[^[:space:]]' or not private.is_clean_text(appointment_type, 60) then
    perform private.raise_error('invalid_input', 'appointment_type: one line of 1 to 60 characters.');
  end if;
end;
$$;
comment on function private.check_appointment_time(timestamptz, integer, text) is 'Raises invalid_input, in_the_past or invalid_duration.';
revoke all on function private.check_appointment_time(timestamptz, integer, text) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/complete_appointment.sql
-- A professional records that the session was held.
--
-- Called by the professional. Definer: appointments are not writable directly. Repeated, it changes nothing. Locks: the professional,
-- then the appointment.

create or replace function private.complete_appointment(appointment_id uuid)
returns public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_appointment public.appointments;
begin
  perform private.require_user();
  v_appointment := private.own_appointment(appointment_id, true);
  if v_appointment.status <> 'completed' then
    update public.appointments as a
    set status = 'completed'
    where a.appointment_id = v_appointment.appointment_id
    returning a.* into v_appointment;
  end if;
  return v_appointment;
end;
$$;
comment on function private.complete_appointment(uuid) is 'Definer: appointments are not writable directly. The caller must be its professional.';
revoke all on function private.complete_appointment(uuid) from public, anon, authenticated, service_role;
grant execute on function private.complete_appointment(uuid) to authenticated;

create or replace function public.complete_appointment(appointment_id uuid)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.complete_appointment(appointment_id);
end;
$$;
comment on function public.complete_appointment(uuid) is 'Professional: confirmed → completed, whenever the session was held. → the appointment. Errors: not_found, invalid_transition.';
revoke all on function public.complete_appointment(uuid) from public, anon, authenticated, service_role;
grant execute on function public.complete_appointment(uuid) to anon, authenticated;

-- supabase/schemas/50_scheduling/confirm_appointment.sql
-- A professional confirms a requested appointment.
--
-- Called by the professional. Definer: appointments are not writable directly. Repeated, it changes nothing. Locks: the professional,
-- then the appointment.

create or replace function private.confirm_appointment(appointment_id uuid)
returns public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_appointment public.appointments;
begin
  perform private.require_user();
  v_appointment := private.own_appointment(appointment_id, true);
  if v_appointment.status <> 'confirmed' then
    update public.appointments as a
    set status = 'confirmed'
    where a.appointment_id = v_appointment.appointment_id
    returning a.* into v_appointment;
  end if;
  return v_appointment;
end;
$$;
comment on function private.confirm_appointment(uuid) is 'Definer: appointments are not writable directly. The caller must be its professional.';
revoke all on function private.confirm_appointment(uuid) from public, anon, authenticated, service_role;
grant execute on function private.confirm_appointment(uuid) to authenticated;

create or replace function public.confirm_appointment(appointment_id uuid)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.confirm_appointment(appointment_id);
end;
$$;
comment on function public.confirm_appointment(uuid) is 'Professional: requested → confirmed. → the appointment. Errors: not_found, invalid_transition.';
revoke all on function public.confirm_appointment(uuid) from public, anon, authenticated, service_role;
grant execute on function public.confirm_appointment(uuid) to anon, authenticated;

-- supabase/schemas/50_scheduling/make_appointment.sql
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
  v_appointment public.appointments;
begin
  if exists (
    select 1
    from public.appointments as a
    where a.professional_id = make_appointment.professional_id
      and a.status in ('requested', 'confirmed')
      and private.appointment_during(a.appointment_date, a.duration_minutes)
        && private.appointment_during(make_appointment.starts_at, make_appointment.duration_minutes)
  ) or exists (
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
    created_via, time_zone, updated_at
  )
  select p.id, make_appointment.survivor_id, match_id, starts_at, make_appointment.duration_minutes,
    make_appointment.appointment_type, make_appointment.status, make_appointment.created_via, p.time_zone, private.clock()
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

-- supabase/schemas/50_scheduling/own_appointment.sql
-- Locks an appointment of the caller, and gives it back as it is then.
--
-- Called by the functions that change one. `as_professional` asks for the professional's side. Another person's
-- appointment and a missing one are the same answer. Locks: the professional, then the appointment.

create or replace function private.own_appointment(appointment_id uuid, as_professional boolean)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_appointment public.appointments;
begin
  perform 1
  from public.professionals as p
  where p.id = (
    select a.professional_id
    from public.appointments as a
    where a.appointment_id = own_appointment.appointment_id
      and (a.professional_id = v_user_id or (not as_professional and a.survivor_id = v_user_id))
  )
  for no key update;
  select a.* into v_appointment
  from public.appointments as a
  where a.appointment_id = own_appointment.appointment_id
    and (a.professional_id = v_user_id or (not as_professional and a.survivor_id = v_user_id))
  for no key update;
  if not found then
    perform private.raise_error('not_found');
  end if;
  return v_appointment;
end;
$$;
comment on function private.own_appointment(uuid, boolean) is 'The caller''s appointment, locked; raises not_found.';
revoke all on function private.own_appointment(uuid, boolean) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/tg_appointments__guard_transition.sql
-- Only the transitions of docs/states.md, whoever writes; and the sequence rises with each change a calendar must know.
--
-- Called by: update on public.appointments. Locks: none.

create or replace function private.tg_appointments__guard_transition()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if new.status <> old.status and (old.status, new.status) not in (
    ('requested', 'confirmed'), ('requested', 'cancelled'),
    ('confirmed', 'requested'), ('confirmed', 'cancelled'), ('confirmed', 'completed'), ('confirmed', 'no_show')
  ) then
    perform private.raise_error(
      'invalid_transition', format('An appointment that is %s cannot become %s.', old.status, new.status)
    );
  end if;
  if (new.status <> old.status and new.status in ('requested', 'confirmed', 'cancelled'))
    or new.appointment_date <> old.appointment_date
    or new.duration_minutes <> old.duration_minutes
    or new.meeting_url is distinct from old.meeting_url
    or new.location is distinct from old.location
  then
    new.sequence := old.sequence + 1;
  end if;
  new.updated_at := private.clock();
  return new;
end;
$$;
comment on function private.tg_appointments__guard_transition() is 'Raises invalid_transition; raises the sequence (RFC 5546) and updated_at.';
revoke all on function private.tg_appointments__guard_transition() from public, anon, authenticated, service_role;

create trigger _100_guard_transition
before update on public.appointments
for each row execute function private.tg_appointments__guard_transition();

-- supabase/schemas/50_scheduling/tg_appointments__notify.sql
-- What happens to an appointment reaches both people: live event, notification, calendar jobs, in the same transaction.
--
-- Called by: insert and update on public.appointments. Definer: it writes for both parties and into the outbox.

create or replace function private.tg_appointments__notify()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_kind text := case
    when tg_op = 'INSERT' then case new.status
      when 'confirmed' then 'appointment_confirmed'
      when 'requested' then 'appointment_requested'
    end
    when new.status = 'cancelled' and old.status <> 'cancelled' then 'appointment_cancelled'
    when new.status = 'confirmed' and old.status = 'requested' then 'appointment_confirmed'
    when new.status in ('requested', 'confirmed') and new.sequence > old.sequence then 'appointment_changed'
  end;
begin
  perform private.broadcast(party.id, 'appointment', tg_op, 'appointments', new.appointment_id, new.status::text)
  from unnest(array[new.professional_id, new.survivor_id]) as party (id)
  where party.id is not null;
  if v_kind is not null then
    perform private.notify(
      array[new.professional_id, new.survivor_id], v_kind, match_id => new.matched_services, appointment_id => new.appointment_id
    );
    perform private.enqueue_calendar_jobs(new);
  end if;
  return null;
end;
$$;
comment on function private.tg_appointments__notify() is 'Definer: writes live events, notifications and jobs for both parties.';
revoke all on function private.tg_appointments__notify() from public, anon, authenticated, service_role;

create trigger _900_notify_insert
after insert on public.appointments
for each row execute function private.tg_appointments__notify();

create trigger _900_notify_update
after update on public.appointments
for each row
when (old.status <> new.status or old.sequence <> new.sequence)
execute function private.tg_appointments__notify();
