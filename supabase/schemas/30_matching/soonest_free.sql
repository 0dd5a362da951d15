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
  select p.id, soonest.starts_at
  from public.professionals as p
  cross join lateral (
    select clock.today, extract(isodow from clock.today)::integer as weekday
    from (select (from_time at time zone p.time_zone)::date as today) as clock
    offset 0
  ) as local
  cross join lateral (
    select min(lower(gap.during)) as starts_at
    from unnest(
      (
        select range_agg(working.during)
        from (
          select v_week where p.id = any (at_any_hour)
          union all
          select tstzrange(opening.opens_at, opening.closes_at)
          from (
            select (day.local_date + hours.start_time) at time zone p.time_zone as opens_at,
              (day.local_date + hours.end_time) at time zone p.time_zone as closes_at
            from (
              select r.weekday, r.start_time, r.end_time
              from public.availability_rules as r
              where r.professional_id = p.id
              union all
              select office.weekday, time '09:00', time '17:00'
              from (values (1), (2), (3), (4), (5)) as office (weekday)
              where not exists (select 1 from public.availability_rules as r where r.professional_id = p.id)
            ) as hours
            -- The next such day, and the one a week later when that is today.
            cross join lateral (
              select local.today + ahead.days as local_date
              from (values (0), (7)) as later (days)
              cross join lateral (select (hours.weekday - local.weekday + 7) % 7 + later.days as days) as ahead
              where ahead.days <= 7
            ) as day
            where p.id <> all (at_any_hour)
            -- Converting to UTC is the costliest step here; without this it is done again for each use.
            offset 0
          ) as opening
          where opening.opens_at < opening.closes_at
          union all
          select e.during
          from public.availability_exceptions as e
          where e.professional_id = p.id and e.kind = 'open' and e.during && v_week
        ) as working (during)
      ) * tstzmultirange(v_week)
      - coalesce(
        (
          select range_agg(taken.during)
          from (
            select e.during
            from public.availability_exceptions as e
            where e.professional_id = p.id and e.kind = 'blocked' and e.during && v_week
            union all
            select private.appointment_during(a.appointment_date, a.duration_minutes)
            from public.appointments as a
            where a.professional_id = p.id
              and a.status in ('requested', 'confirmed')
              and private.appointment_during(a.appointment_date, a.duration_minutes) && v_week
            union all
            select b.during
            from public.calendar_busy as b
            where b.professional_id = p.id and b.during && v_week
          ) as taken (during)
        ),
        '{}'
      )
    ) as gap (during)
    where upper(gap.during) - lower(gap.during) >= interval '1 hour'
  ) as soonest
  where p.id = any (professional_ids) and soonest.starts_at is not null;
end;
$$;
comment on function private.soonest_free(uuid[], uuid[], timestamptz) is 'Start of each professional''s first free hour in the seven days from from_time; no row when there is none.';
revoke all on function private.soonest_free(uuid[], uuid[], timestamptz) from public, anon, authenticated, service_role;
