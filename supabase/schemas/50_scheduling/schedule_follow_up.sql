-- A professional goes on with an accepted case: one more session, or a series of them, all or none.
--
-- Called by the professional, who may choose any time. A series keeps its time on the professional's wall clock. When a
-- session clashes, nothing is made and the details name every clash by its time. The same call repeated gives back the
-- same sessions. Definer: appointments are not writable directly. Locks: see lock_match.

create or replace function private.schedule_follow_up(
  match_id uuid, starts_at timestamptz, duration_minutes integer, appointment_type text, rrule text
)
returns setof public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_locked record;
  v_survivor_id uuid;
  v_professional public.professionals;
  v_times timestamptz[];
  v_clashes text;
  v_series_id uuid := case when rrule is not null then gen_random_uuid() end;
begin
  -- The survivor of a foreign offer must not be locked, and its existence not be told.
  if not exists (
    select 1 from public.matched_services as m where m.id = schedule_follow_up.match_id and m.professional_id = v_user_id
  ) then
    perform private.raise_error('not_found');
  end if;
  perform private.check_appointment_time(starts_at, duration_minutes, appointment_type);
  select p.* into v_professional from public.professionals as p where p.id = v_user_id;
  v_times := case
    when rrule is null then array[starts_at]
    else private.expand_recurrence(rrule, starts_at, v_professional.time_zone)
  end;

  select * into v_locked from private.lock_match(match_id);
  v_survivor_id := (v_locked.report).user_id;
  if (v_locked.report).status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_professional.verification_status <> 'verified' then
    perform private.raise_error('not_verified');
  elsif (v_locked.match).match_status_type <> 'accepted' then
    perform private.raise_error('case_not_open');
  end if;

  -- What this call would make is there already: it is a repetition.
  return query
  select a.*
  from public.appointments as a
  where a.matched_services = schedule_follow_up.match_id and a.created_via = 'follow_up' and a.status in ('requested', 'confirmed')
    and a.appointment_date = any (v_times) and a.duration_minutes = schedule_follow_up.duration_minutes
    and cardinality(v_times) = (
      select count(*)
      from public.appointments as b
      where b.matched_services = a.matched_services and b.created_via = a.created_via and b.status in ('requested', 'confirmed')
        and b.appointment_date = any (v_times) and b.duration_minutes = a.duration_minutes
        and b.series_id is not distinct from a.series_id
    )
  order by a.appointment_date;
  if found then
    return;
  end if;

  select string_agg(to_char(t.moment at time zone v_professional.time_zone, 'YYYY-MM-DD HH24:MI'), ', ' order by t.moment)
  into v_clashes
  from unnest(v_times) as t (moment)
  where private.is_engaged(v_user_id, t.moment, schedule_follow_up.duration_minutes) or exists (
    select 1
    from public.appointments as a
    where a.survivor_id = v_survivor_id and a.status in ('requested', 'confirmed')
      and private.appointment_during(a.appointment_date, a.duration_minutes)
        && private.appointment_during(t.moment, schedule_follow_up.duration_minutes)
  );
  if v_clashes is not null then
    perform private.raise_error(
      'slot_taken', format('Another appointment holds: %s (%s).', v_clashes, v_professional.time_zone)
    );
  end if;

  begin
    return query
    insert into public.appointments (
      professional_id, survivor_id, matched_services, appointment_date, duration_minutes, appointment_type, status, created_via,
      series_id, time_zone, updated_at
    )
    select v_user_id, v_survivor_id, schedule_follow_up.match_id, t.moment, schedule_follow_up.duration_minutes,
      schedule_follow_up.appointment_type, 'confirmed', 'follow_up', v_series_id, v_professional.time_zone, private.clock()
    from unnest(v_times) with ordinality as t (moment, place)
    order by t.place
    returning *;
  exception
    when exclusion_violation or deadlock_detected then
      perform private.raise_error('slot_taken');
  end;
end;
$$;
comment on function private.schedule_follow_up(uuid, timestamptz, integer, text, text) is 'Definer: appointments are not writable directly. The caller must be the professional of the accepted offer.';
revoke all on function private.schedule_follow_up(uuid, timestamptz, integer, text, text) from public, anon, authenticated, service_role;
grant execute on function private.schedule_follow_up(uuid, timestamptz, integer, text, text) to authenticated;

create or replace function public.schedule_follow_up(
  match_id uuid, starts_at timestamptz, duration_minutes integer default 60, appointment_type text default 'follow_up',
  rrule text default null
)
returns setof public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return query select * from private.schedule_follow_up(match_id, starts_at, duration_minutes, appointment_type, rrule);
end;
$$;
comment on function public.schedule_follow_up(uuid, timestamptz, integer, text, text) is
  'Professional: one more session of an accepted case at any time, or a series by an RFC 5545 rule (FREQ DAILY, WEEKLY or MONTHLY; INTERVAL, BYDAY, BYMONTHDAY, WKST; COUNT or UNTIL; at most 52): all or none. → the appointments in order. Errors: not_found, invalid_input, in_the_past, invalid_duration, case_not_open, report_withdrawn, not_verified, slot_taken (the details name each clash).';
revoke all on function public.schedule_follow_up(uuid, timestamptz, integer, text, text) from public, anon, authenticated, service_role;
grant execute on function public.schedule_follow_up(uuid, timestamptz, integer, text, text) to anon, authenticated;
