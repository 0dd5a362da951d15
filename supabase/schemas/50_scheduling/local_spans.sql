-- The local days of a time zone, cut wherever the wall clock jumps.
--
-- Called by free_slots. Within a span clock and time run side by side, so that time of day is a plain sum there. Most
-- days are one span; a day on which the clock changes is searched by the hour and then by the minute, and a day that the
-- zone skips has none. Pure. Locks: none.

create or replace function private.local_spans(time_zone text, from_date date, to_date date)
returns table (starts_at timestamptz, ends_at timestamptz, day date, weekday smallint, minute_of_day integer)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_day record;
begin
  for v_day in
    select d.day, d.starts_at, d.ends_at,
      d.ends_at - d.starts_at = interval '24 hours'
        and d.starts_at at time zone local_spans.time_zone = d.day
        and (d.starts_at + interval '12 hours') at time zone local_spans.time_zone = d.day + interval '12 hours' as is_plain
    from (
      select c.day, c.day::timestamp at time zone local_spans.time_zone as starts_at,
        (c.day + 1)::timestamp at time zone local_spans.time_zone as ends_at
      -- The day before too: when a clock that is put back passes midnight twice, the first time lies in the day before.
      from (select from_date + n as day from generate_series(-1, to_date - from_date) as n) as c
    ) as d
  loop
    if v_day.is_plain and v_day.day >= from_date then
      starts_at := v_day.starts_at;
      ends_at := v_day.ends_at;
      day := v_day.day;
      weekday := extract(isodow from v_day.day);
      minute_of_day := 0;
      return next;
    elsif not v_day.is_plain and v_day.starts_at < v_day.ends_at then
      return query
      with hours as (
        select h.at, least(h.at + interval '1 hour', v_day.ends_at) as until
        from generate_series(v_day.starts_at, v_day.ends_at - interval '1 second', interval '1 hour') as h (at)
      ),
      marks as (
        select h.at from hours as h
        union all
        select m.at
        from hours as h
        cross join lateral generate_series(h.at + interval '1 minute', h.until - interval '1 second', interval '1 minute') as m (at)
        where (h.at at time zone local_spans.time_zone) + (h.until - h.at) <> h.until at time zone local_spans.time_zone
      ),
      readings as (
        select k.at, r.reading, r.reading - (k.at at time zone 'UTC') as utc_offset
        from marks as k
        cross join lateral (select k.at at time zone local_spans.time_zone as reading) as r
      ),
      cuts as (
        select r.at, r.reading,
          lag(r.utc_offset) over w is distinct from r.utc_offset
            or lag(r.reading::date) over w is distinct from r.reading::date as is_cut
        from readings as r
        window w as (order by r.at)
      )
      select c.at, lead(c.at, 1, v_day.ends_at) over (order by c.at), c.reading::date, extract(isodow from c.reading)::smallint,
        date_part('epoch', c.reading - date_trunc('day', c.reading))::integer / 60
      from cuts as c
      where c.is_cut;
    end if;
  end loop;
end;
$$;
comment on function private.local_spans(text, date, date) is 'Spans of constant offset, each of one local day; minute_of_day is what the wall clock shows at starts_at. Days from_date to to_date, and what a changed clock lets lie beside them.';
revoke all on function private.local_spans(text, date, date) from public, anon, authenticated, service_role;
