-- When each of some professionals is next free for an hour, within the next seven days.
--
-- Called by best_candidates for its shortlist, all in one query. Working hours (Monday to Friday 9 to 17 in their own
-- zone when there are no rules) and open exceptions, less blocked exceptions, live appointments and busy calendars.
-- Professionals of a crisis service work at any hour. Reads only. Locks: none.

create or replace function private.soonest_free(professional_ids uuid[], at_any_hour uuid[], from_time timestamptz)
returns table (professional_id uuid, starts_at timestamptz)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_week tstzrange := tstzrange(from_time, from_time + interval '7 days');
begin
  return query
  with asked as (
    select p.id, p.time_zone, (from_time at time zone p.time_zone)::date as today, p.id = any (at_any_hour) as at_any_hour,
      exists (select 1 from public.availability_rules as r where r.professional_id = p.id) as has_rules
    from public.professionals as p
    where p.id = any (professional_ids)
  ),
  working as (
    select opening.id, tstzrange(opening.opens_at, opening.closes_at) as during
    from (
      select a.id, (day.local_date + hours.start_time) at time zone a.time_zone as opens_at,
        (day.local_date + hours.end_time) at time zone a.time_zone as closes_at
      from asked as a
      cross join lateral (
        select a.today + n as local_date, extract(isodow from a.today + n)::integer as weekday from generate_series(0, 7) as n
      ) as day
      cross join lateral (
        select r.start_time, r.end_time
        from public.availability_rules as r
        where r.professional_id = a.id and r.weekday = day.weekday
        union all
        select time '09:00', time '17:00'
        where not a.has_rules and day.weekday <= 5
      ) as hours
      where not a.at_any_hour
      -- Converting to UTC is the costliest step here; without this it is done again for each use.
      offset 0
    ) as opening
    where opening.opens_at < opening.closes_at
    union all
    select a.id, v_week from asked as a where a.at_any_hour
    union all
    select e.professional_id, e.during
    from public.availability_exceptions as e
    where e.professional_id = any (professional_ids) and e.kind = 'open' and e.during && v_week
  ),
  taken as (
    select t.professional_id, range_agg(t.during) as during
    from (
      select e.professional_id, e.during
      from public.availability_exceptions as e
      where e.professional_id = any (professional_ids) and e.kind = 'blocked' and e.during && v_week
      union all
      select a.professional_id, private.appointment_during(a.appointment_date, a.duration_minutes)
      from public.appointments as a
      where a.professional_id = any (professional_ids)
        and a.status in ('requested', 'confirmed')
        and private.appointment_during(a.appointment_date, a.duration_minutes) && v_week
      union all
      select b.professional_id, b.during
      from public.calendar_busy as b
      where b.professional_id = any (professional_ids) and b.during && v_week
    ) as t
    group by t.professional_id
  ),
  free as (
    select w.id, range_agg(w.during) * tstzmultirange(v_week) - coalesce(t.during, '{}'::tstzmultirange) as during
    from working as w
    left join taken as t on t.professional_id = w.id
    group by w.id, t.during
  )
  select f.id, min(lower(gap.during))
  from free as f
  cross join lateral unnest(f.during) as gap (during)
  where upper(gap.during) - lower(gap.during) >= interval '1 hour'
  group by f.id;
end;
$$;
comment on function private.soonest_free(uuid[], uuid[], timestamptz) is 'Start of each professional''s first free hour in the seven days from from_time; no row when there is none.';
revoke all on function private.soonest_free(uuid[], uuid[], timestamptz) from public, anon, authenticated, service_role;
