-- How many requests for support there were, by month: only what was published, small cells and complements suppressed.
--
-- Called by administrators. Whole calendar months between the two days, the first and the last day included; so no
-- choice of days, and no second query, tells more than the published cells. Definer: the counts are private.

create or replace function private.case_statistics(from_date date, to_date date, dimension text)
returns table (month date, value text, cases integer)
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.require_admin();
  if from_date is null or to_date is null or not isfinite(from_date) or not isfinite(to_date) or from_date > to_date then
    perform private.raise_error('invalid_input', 'from_date and to_date: two days, in this order.');
  elsif dimension is null or dimension not in ('incident_type', 'urgency', 'gender', 'age_category', 'service_type') then
    perform private.raise_error('invalid_input', 'dimension: incident_type, urgency, gender, age_category or service_type.');
  end if;
  perform private.publish_statistics();
  return query
  select p.month, p.value, p.cases
  from private.published_statistics as p
  where p.dimension = case_statistics.dimension
    and p.month >= case_statistics.from_date
    and (p.month + interval '1 month')::date - 1 <= case_statistics.to_date
  order by p.month, p.value;
end;
$$;
comment on function private.case_statistics(date, date, text) is 'Definer: counts are private. The caller must be an administrator; gives back published cells only.';
revoke all on function private.case_statistics(date, date, text) from public, anon, authenticated, service_role;
grant execute on function private.case_statistics(date, date, text) to authenticated;

create or replace function public.case_statistics(from_date date, to_date date, dimension text)
returns table (month date, value text, cases integer)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return query
  select s.month, s.value, s.cases
  from private.case_statistics(case_statistics.from_date, case_statistics.to_date, case_statistics.dimension) as s;
end;
$$;
comment on function public.case_statistics(date, date, text) is
  'Administrator: requests for support by whole calendar month (UTC) between two days and by one dimension: incident_type, urgency, gender, age_category or service_type. → rows of month, value, cases; null = suppressed (small, or the complement of a small one). A month appears a day after its end and never changes. Errors: not_allowed, invalid_input.';
revoke all on function public.case_statistics(date, date, text) from public, anon, authenticated, service_role;
grant execute on function public.case_statistics(date, date, text) to anon, authenticated;
