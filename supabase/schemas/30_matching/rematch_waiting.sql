-- Looks again at reports that wait without an open offer, because some professionals became free.
--
-- Called when a professional is verified, back in the office, gets a service or completes a case. At most 20 reports, the
-- longest unsearched first; the rest is found by run_due_timers. Locks: report rows with skip locked, so that a
-- transaction that already holds locks never waits for one here.

create or replace function private.rematch_waiting(professional_ids uuid[])
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_waiting record;
  v_made integer := 0;
begin
  for v_waiting in
    select r as report, c.service_type
    from private.response_clocks as c
    join public.reports as r on r.report_id = c.report_id
    where c.settled_at is null
      and r.status in ('pending', 'active')
      and c.service_type in (select s.service_type from public.support_services as s where s.professional_id = any (professional_ids))
      and not exists (
        select 1
        from public.matched_services as m
        where m.report_id = c.report_id and m.service_type = c.service_type
          and m.match_status_type in ('pending', 'accepted', 'completed')
      )
    order by c.searched_at
    limit 20
    for no key update of r skip locked
  loop
    -- Read before the report's lock was taken, the offers may have changed since.
    continue when exists (
      select 1
      from public.matched_services as m
      where m.report_id = (v_waiting.report).report_id and m.service_type = v_waiting.service_type
        and m.match_status_type in ('pending', 'accepted', 'completed')
    );
    v_made := v_made + private.make_offers(v_waiting.report, v_waiting.service_type, private.offers_wanted((v_waiting.report).urgency));
    perform private.update_match_status((v_waiting.report).report_id);
  end loop;
  return v_made;
end;
$$;
comment on function private.rematch_waiting(uuid[]) is 'Makes offers for waiting reports that these professionals'' services could serve; gives back how many.';
revoke all on function private.rematch_waiting(uuid[]) from public, anon, authenticated, service_role;
