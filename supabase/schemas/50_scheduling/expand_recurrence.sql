-- The sessions of a recurrence rule (RFC 5545): FREQ DAILY, WEEKLY or MONTHLY with INTERVAL, BYDAY, BYMONTHDAY, WKST, and
-- COUNT or UNTIL.
--
-- Called by schedule_follow_up. The wall clock of the zone keeps its time over a change of the clocks. The first session
-- must itself be one of the rule, because RFC 5545 leaves open what else would happen. Pure but for the clock. Locks: none.

create or replace function private.expand_recurrence(rrule text, starts_at timestamptz, time_zone text)
returns timestamptz[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_text text := upper(regexp_replace(rrule, '^rrule:', '', 'i'));
  v_parts jsonb;
  v_first timestamp := starts_at at time zone time_zone;
  v_interval integer;
  v_count integer;
  v_until timestamp;
  v_week_begins integer;
  v_days text[];
  v_month_days integer[];
  v_times timestamptz[];
begin
  if length(rrule) > 300 or v_text !~ '^[A-Z]+=[A-Z0-9,+-]+(;[A-Z]+=[A-Z0-9,+-]+)*$' then
    perform private.raise_error('invalid_input', 'rrule: not a recurrence rule of RFC 5545.');
  end if;
  select jsonb_object_agg(split_part(p, '=', 1), split_part(p, '=', 2)) into v_parts
  from unnest(string_to_array(v_text, ';')) as p;
  if (select count(*) from unnest(string_to_array(v_text, ';'))) <> (select count(*) from jsonb_object_keys(v_parts)) then
    perform private.raise_error('invalid_input', 'rrule: a part is there twice.');
  elsif v_parts - array['FREQ', 'INTERVAL', 'BYDAY', 'BYMONTHDAY', 'WKST', 'COUNT', 'UNTIL'] <> '{}' then
    perform private.raise_error('invalid_input', 'rrule: only FREQ, INTERVAL, BYDAY, BYMONTHDAY, WKST, COUNT and UNTIL.');
  elsif coalesce(v_parts ->> 'FREQ', '') not in ('DAILY', 'WEEKLY', 'MONTHLY') then
    perform private.raise_error('invalid_input', 'rrule: FREQ is DAILY, WEEKLY or MONTHLY.');
  elsif (v_parts ? 'COUNT') = (v_parts ? 'UNTIL') then
    perform private.raise_error('invalid_input', 'rrule: either COUNT or UNTIL.');
  elsif coalesce(v_parts ->> 'INTERVAL', '1') !~ '^0*[1-9][0-9]{0,2}$' then
    perform private.raise_error('invalid_input', 'rrule: INTERVAL is 1 to 999.');
  elsif coalesce(v_parts ->> 'WKST', 'MO') !~ '^(MO|TU|WE|TH|FR|SA|SU)$' then
    perform private.raise_error('invalid_input', 'rrule: WKST is a day of the week.');
  elsif coalesce(v_parts ->> 'COUNT', '1') !~ '^0*([1-9]|[1-4][0-9]|5[0-2])$' then
    perform private.raise_error('invalid_input', 'rrule: COUNT is 1 to 52.');
  elsif coalesce(v_parts ->> 'UNTIL', '20200101') !~ '^[0-9]{8}(T([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]Z?)?$' then
    perform private.raise_error('invalid_input', 'rrule: UNTIL is a date or a date and time, such as 20270131T120000Z.');
  elsif coalesce(v_parts ->> 'BYDAY', 'MO') !~ '^([+-]?0?[1-5])?(MO|TU|WE|TH|FR|SA|SU)(,([+-]?0?[1-5])?(MO|TU|WE|TH|FR|SA|SU))*$'
    or (v_parts ->> 'FREQ' <> 'MONTHLY' and v_parts ->> 'BYDAY' ~ '[0-9]')
  then
    perform private.raise_error('invalid_input', 'rrule: BYDAY lists days of the week, with an ordinal for MONTHLY only.');
  elsif coalesce(v_parts ->> 'BYMONTHDAY', '1') !~ '^[+-]?0?([1-9]|[12][0-9]|3[01])(,[+-]?0?([1-9]|[12][0-9]|3[01]))*$'
    or (v_parts ? 'BYMONTHDAY' and v_parts ->> 'FREQ' = 'WEEKLY')
  then
    perform private.raise_error('invalid_input', 'rrule: BYMONTHDAY lists days from 1 to 31 or -31 to -1, and not for WEEKLY.');
  end if;
  v_interval := coalesce(v_parts ->> 'INTERVAL', '1')::integer;
  v_count := coalesce(v_parts ->> 'COUNT', '53')::integer;
  begin
    v_until := replace(v_parts ->> 'UNTIL', 'Z', '')::timestamp;
  exception
    when datetime_field_overflow then
      perform private.raise_error('invalid_input', 'rrule: UNTIL is no date of the calendar.');
  end;
  if v_until > (private.clock() at time zone 'UTC') + interval '2 years' then
    perform private.raise_error('invalid_input', 'rrule: UNTIL is more than two years ahead.');
  end if;
  v_week_begins := array_position(array['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'], coalesce(v_parts ->> 'WKST', 'MO')) - 1;
  -- What the rule does not say comes from its first session.
  v_days := coalesce(
    string_to_array(replace(v_parts ->> 'BYDAY', '+', ''), ','),
    case when v_parts ->> 'FREQ' = 'WEEKLY' then array[left(to_char(v_first, 'DY'), 2)] end
  );
  v_month_days := coalesce(
    string_to_array(v_parts ->> 'BYMONTHDAY', ',')::integer[],
    case when v_parts ->> 'FREQ' = 'MONTHLY' and not v_parts ? 'BYDAY' then array[extract(day from v_first)::integer] end
  );

  select array_agg(s.moment order by s.reading) into v_times
  from (
    select d.day + v_first::time as reading, private.first_instant_of(d.day + v_first::time, time_zone) as moment
    from (
      select c.day, to_char(c.day, 'DY') as name, extract(day from c.day)::integer as of_month,
        extract(day from date_trunc('month', c.day) + interval '1 month' - interval '1 day')::integer as month_length
      from (select v_first::date + n as day from generate_series(0, 800) as n) as c
    ) as d
    where case v_parts ->> 'FREQ'
        when 'DAILY' then (d.day - v_first::date) % v_interval = 0
        when 'WEEKLY' then (
          -- Day 0 of this count is a Monday.
          (d.day - date '2001-01-01' - v_week_begins + 7000000) / 7 - (v_first::date - date '2001-01-01' - v_week_begins + 7000000) / 7
        ) % v_interval = 0
        else (
          extract(year from d.day)::integer * 12 + extract(month from d.day)::integer
          - extract(year from v_first)::integer * 12 - extract(month from v_first)::integer
        ) % v_interval = 0
      end
      and (v_month_days is null or d.of_month = any (v_month_days) or d.of_month - d.month_length - 1 = any (v_month_days))
      and (v_days is null or exists (
        select 1
        from unnest(v_days) as by (day)
        where right(by.day, 2) = left(d.name, 2)
          and (length(by.day) = 2
            or left(by.day, -2)::integer in ((d.of_month + 6) / 7, -((d.month_length - d.of_month) / 7 + 1)))
      ))
    order by d.day
  ) as s
  where v_until is null or case
      when v_parts ->> 'UNTIL' ~ 'Z$' then s.moment at time zone 'UTC' <= v_until
      when v_parts ->> 'UNTIL' ~ 'T' then s.reading <= v_until
      else s.reading::date <= v_until::date
    end;
  v_times := v_times[1 : v_count];
  if v_times is null or v_times[1] at time zone time_zone <> v_first then
    perform private.raise_error('invalid_input', 'rrule: starts_at must be the first session of the rule.');
  elsif cardinality(v_times) > 52 then
    perform private.raise_error('invalid_input', 'rrule: at most 52 sessions.');
  elsif v_times[cardinality(v_times)] > private.clock() + interval '2 years' or (v_until is null and cardinality(v_times) < v_count)
  then
    perform private.raise_error('invalid_input', 'rrule: a session lies more than two years ahead.');
  end if;
  -- Of two moments with one reading the caller has named one.
  v_times[1] := starts_at;
  return v_times;
end;
$$;
comment on function private.expand_recurrence(text, timestamptz, text) is 'The moments of the sessions in order, at most 52; raises invalid_input and says what is wrong with the rule.';
revoke all on function private.expand_recurrence(text, timestamptz, text) from public, anon, authenticated, service_role;
