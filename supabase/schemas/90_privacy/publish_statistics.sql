-- Publishes the months that are over, once and for ever, and deletes the facts that they were counted from.
--
-- Called by run_due_timers and case_statistics. Hidden in each dimension of a month: every cell below 5, zero too, and
-- then further cells from the smallest up until the hidden ones add up to 5 at least. Whatever can be computed from what
-- is left is a cell or a sum of at least 5 (docs/adr/0007-statistics-are-published-once.md). Locks: an advisory lock.

create or replace function private.publish_statistics()
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  -- A transaction that began before midnight may still count for the month: wait a day.
  v_running date := date_trunc('month', private.clock() at time zone 'UTC' - interval '1 day');
  v_month date;
  v_published integer := 0;
begin
  if not exists (select 1 from private.case_facts as f where f.month < v_running) then
    return 0;
  end if;
  perform pg_advisory_xact_lock(hashtextextended('sauti.publish_statistics', 0));
  for v_month in
    select distinct f.month from private.case_facts as f where f.month < v_running order by f.month
  loop
    insert into private.published_statistics (month, dimension, value, cases)
    select v_month, c.dimension, c.value,
      case
        when c.cases >= 5 and (c.smallest >= 5 or c.smaller >= 5) then c.cases
      end
    from (
      select n.dimension, n.value, n.cases,
        min(n.cases) over (partition by n.dimension) as smallest,
        coalesce(sum(n.cases) over (
          partition by n.dimension order by n.cases, n.value rows between unbounded preceding and 1 preceding
        ), 0) as smaller
      from private.count_cases(v_month) as n
    ) as c
    on conflict on constraint published_statistics_pkey do nothing;
    delete from private.case_facts as f where f.month = v_month;
    v_published := v_published + 1;
  end loop;
  return v_published;
end;
$$;
comment on function private.publish_statistics() is 'Freezes the suppressed counts of every month that ended a day ago or earlier; gives back how many months.';
revoke all on function private.publish_statistics() from public, anon, authenticated, service_role;
