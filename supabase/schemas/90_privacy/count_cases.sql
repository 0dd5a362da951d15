-- The true counts of one month, for every value of every dimension, zero included.
--
-- Called by publish_statistics only: these are not suppressed. A report that asks for several kinds of help counts for
-- each of them. Locks: none.

create or replace function private.count_cases(month date)
returns table (dimension text, value text, cases integer)
language sql
stable
security invoker
set search_path = ''
as $$
  with facts as (
    select f.* from private.case_facts as f where f.month = count_cases.month
  ),
  named as (
    select 'incident_type' as dimension, f.incident_type::text as value from facts as f
    union all
    select 'urgency', f.urgency::text from facts as f
    union all
    select 'gender', f.gender::text from facts as f
    union all
    select 'age_category', coalesce(f.age_category::text, 'not_said') from facts as f
    union all
    select 'service_type', s.name::text from facts as f cross join unnest(f.required_services) as s (name)
  ),
  possible as (
    select 'incident_type' as dimension, v::text as value from unnest(enum_range(null::public.incident_type)) as v
    union all
    select 'urgency', v::text from unnest(enum_range(null::public.urgency_level)) as v
    union all
    select 'gender', v::text from unnest(enum_range(null::public.gender_type)) as v
    union all
    select 'age_category', v::text from unnest(enum_range(null::public.age_category)) as v
    union all
    select 'age_category', 'not_said'
    union all
    select 'service_type', v::text from unnest(enum_range(null::public.service_type)) as v
  )
  select p.dimension, p.value, count(n.value)::integer
  from possible as p
  left join named as n on n.dimension = p.dimension and n.value = p.value
  group by p.dimension, p.value;
$$;
comment on function private.count_cases(date) is 'Unsuppressed counts of one month, from the facts that are not yet published.';
revoke all on function private.count_cases(date) from public, anon, authenticated, service_role;
