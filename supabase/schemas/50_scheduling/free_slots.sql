-- The one judge of when professionals can be booked: what is offered and what is accepted both come from here.
--
-- Called by available_slots and require_free_slot. A slot begins within working time, at an interval counted from where a
-- rule begins; the session lies whole in what blocked times, busy calendars and live appointments with their buffers leave
-- of it. `at_any_hour` lifts the hours, `despite_others` looks as if nothing were booked, a survivor's own appointments
-- count as taken, `moved_id` is not in its own way. Reads only. Locks: none.

create or replace function private.free_slots(
  professional_ids uuid[], from_date date, to_date date, duration_minutes integer, survivor_id uuid default null,
  at_any_hour boolean default false, moved_id uuid default null, despite_others boolean default false
)
returns table (professional_id uuid, slot_start timestamptz)
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_now timestamptz := private.clock();
  v_length interval := make_interval(mins => duration_minutes);
  -- Nothing is offered before now or beyond the widest horizon, so far dates cost nothing.
  v_from date := greatest(from_date, (v_now at time zone 'UTC')::date - 1);
  v_to date := least(to_date, (v_now at time zone 'UTC')::date + 732);
  -- Reaches over every local day in question, whatever the zone, and over the longest session and buffers beside it.
  v_begin timestamptz;
  v_end timestamptz;
begin
  if v_from > v_to then
    return;
  end if;
  v_begin := (v_from - 2)::timestamp at time zone 'UTC';
  v_end := (v_to + 4)::timestamp at time zone 'UTC';
  return query
  with asked as materialized (
    select p.id, p.time_zone, coalesce(s.slot_interval_minutes, 30) as step,
      tstzrange(
        w.earliest, greatest(w.earliest, v_now + make_interval(hours => 24 * coalesce(s.horizon_days, 90))),
        case when w.earliest <= v_now + make_interval(hours => 24 * coalesce(s.horizon_days, 90)) then '[]' else '()' end
      ) as bookable,
      make_interval(mins => coalesce(s.buffer_before_minutes, 0)) as before,
      make_interval(mins => coalesce(s.buffer_after_minutes, 0)) as after,
      coalesce(s.buffer_before_minutes, 0) + coalesce(s.buffer_after_minutes, 0) as both,
      s.daily_limit,
      exists (select 1 from public.availability_rules as r where r.professional_id = p.id) as has_rules
    from unnest(professional_ids) as wanted (id)
    join public.professionals as p on p.id = wanted.id
    left join public.scheduling_preferences as s on s.professional_id = p.id
    cross join lateral (
      select greatest(v_now + make_interval(mins => coalesce(s.min_notice_minutes, 60)), p.out_of_office_until) as earliest
    ) as w
  ),
  spans as materialized (
    select z.time_zone, s.starts_at, s.ends_at, s.day, s.weekday, s.minute_of_day,
      s.minute_of_day + (date_part('epoch', s.ends_at - s.starts_at)::integer / 60) as end_minute
    from (select distinct a.time_zone from asked as a) as z
    -- A session may run into the next day, which is the one after it where a zone leaves a day out.
    cross join lateral private.local_spans(z.time_zone, v_from, v_to + 2) as s
    where s.day between v_from and v_to + 2
  ),
  hours as materialized (
    select r.professional_id as id, r.weekday, date_part('epoch', r.start_time)::integer / 60 as start_minute,
      date_part('epoch', r.end_time)::integer / 60 as end_minute
    from public.availability_rules as r
    where r.professional_id = any (professional_ids)
    union all
    select a.id, d.weekday, 540, 1020
    from asked as a
    cross join unnest('{1,2,3,4,5}'::smallint[]) as d (weekday)
    where not a.has_rules
    union all
    select a.id, d.weekday, 0, 1440
    from asked as a
    cross join unnest('{1,2,3,4,5,6,7}'::smallint[]) as d (weekday)
    where at_any_hour
  ),
  full_days as materialized (
    select a.id, (b.appointment_date at time zone a.time_zone)::date as day
    from asked as a
    join public.appointments as b on b.professional_id = a.id
    where a.daily_limit is not null and b.status <> 'cancelled' and b.appointment_id is distinct from moved_id
      and b.appointment_date >= v_begin and b.appointment_date < v_end
    group by a.id, a.daily_limit, 2
    having count(*) >= a.daily_limit
  ),
  pieces as materialized (
    -- Where slots may begin, and from which moment their interval is counted.
    select a.id, s.day <= v_to and (a.id, s.day) not in (select d.id, d.day from full_days as d) as may_begin,
      s.starts_at + make_interval(mins => h.start_minute - s.minute_of_day) as counted_from,
      tstzrange(
        s.starts_at + make_interval(mins => greatest(h.start_minute - s.minute_of_day, 0)),
        s.starts_at + make_interval(mins => least(h.end_minute, s.end_minute) - s.minute_of_day)
      ) as during
    from asked as a
    join spans as s on s.time_zone = a.time_zone
    join hours as h on h.id = a.id and h.weekday = s.weekday
    where h.start_minute < s.end_minute and h.end_minute > s.minute_of_day
    union all
    select a.id, s.day <= v_to and (a.id, s.day) not in (select d.id, d.day from full_days as d),
      date_trunc('minute', lower(e.during) + interval '59.999999 seconds'),
      tstzrange(greatest(lower(e.during), s.starts_at), least(upper(e.during), s.ends_at))
    from asked as a
    join public.availability_exceptions as e
      on e.professional_id = a.id and e.kind = 'open' and e.during && tstzrange(v_begin, v_end)
    join spans as s on s.time_zone = a.time_zone and lower(e.during) < s.ends_at and upper(e.during) > s.starts_at
  ),
  working as (
    -- No session begins on a full day or after the last; one that began before may run into it.
    select p.id, range_agg(p.during) as during, array_agg(p.during) filter (where p.may_begin) as pieces,
      array_agg(p.counted_from) filter (where p.may_begin) as counted_from
    from pieces as p
    group by p.id
  ),
  taken as materialized (
    select t.id, range_agg(t.during) as during
    from (
      -- Its own buffers and those of the session that comes beside it.
      select a.id, tstzrange(
        b.appointment_date - make_interval(mins => a.both), b.appointment_date + make_interval(mins => b.duration_minutes + a.both)
      ) as during
      from asked as a
      cross join lateral (
        select l.appointment_date, l.duration_minutes
        from public.appointments as l
        where l.professional_id = a.id and l.appointment_date >= v_begin and l.appointment_date < v_end
          and l.status in ('requested', 'confirmed') and l.appointment_id is distinct from moved_id
        offset 0
      ) as b
      where not despite_others
      union all
      select a.id, tstzrange(lower(c.during) - a.after, upper(c.during) + a.before)
      from asked as a
      join public.calendar_busy as c on c.professional_id = a.id and c.during && tstzrange(v_begin, v_end)
      where not despite_others
      union all
      select a.id, tstzrange(b.appointment_date, b.appointment_date + make_interval(mins => b.duration_minutes))
      from public.appointments as b
      cross join asked as a
      where not despite_others and b.survivor_id = free_slots.survivor_id and b.status in ('requested', 'confirmed')
        and b.appointment_id is distinct from moved_id
        and b.appointment_date >= v_begin and b.appointment_date < v_end
      union all
      select e.professional_id, tstzrange(lower(e.during), upper(e.during))
      from public.availability_exceptions as e
      where e.professional_id = any (professional_ids) and e.kind = 'blocked' and e.during && tstzrange(v_begin, v_end)
    ) as t
    group by t.id
  )
  select g.id, generate_series(
    g.counted_from
      + make_interval(mins => g.step * ceil(date_part('epoch', lower(g.during) - g.counted_from) / 60 / g.step)::integer),
    case when upper_inc(g.during) then upper(g.during) else upper(g.during) - interval '1 microsecond' end,
    make_interval(mins => g.step)
  )
  from (
    select a.id, a.step, p.counted_from, unnest(b.during * tstzmultirange(p.during)) as during
    from working as w
    join asked as a on a.id = w.id
    left join taken as t on t.id = w.id
    cross join lateral (
      -- Every moment at which a session of this length could begin, on the interval or not.
      select tstzmultirange(a.bookable) * range_agg(tstzrange(lower(f.during), upper(f.during) - v_length, '[]')) as during
      from unnest(case when t.during is null then w.during else w.during - t.during end) as f (during)
      where upper(f.during) - lower(f.during) >= v_length
    ) as b
    cross join lateral unnest(w.pieces, w.counted_from) as p (during, counted_from)
  ) as g;
end;
$$;
comment on function private.free_slots(uuid[], date, date, integer, uuid, boolean, uuid, boolean) is 'Starts of the free slots of each professional on its own local days from_date to to_date; unordered, and twice where rules overlap.';
revoke all on function private.free_slots(uuid[], date, date, integer, uuid, boolean, uuid, boolean) from public, anon, authenticated, service_role;
