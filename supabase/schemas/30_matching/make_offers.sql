-- Offers one required service of a report to the best candidates not yet asked.
--
-- Called by matching, decline, expiry and the response clock; the caller holds the report's lock, so that two searches
-- never offer past each other. A child's case goes to child specialists; to others only when there is none, and then
-- it is escalated too. When nobody can be asked and nobody is still thinking, it is escalated at once.

create or replace function private.make_offers(report public.reports, service_type public.service_type, wanted integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_stage integer;
  v_child boolean := coalesce(report.age_category = 'child', false);
  v_made integer := 0;
begin
  update private.response_clocks as c
  set searched_at = v_now
  where c.report_id = report.report_id and c.service_type = make_offers.service_type
  returning case when c.opened_at is not null then 2 when c.widened_at is not null then 1 else 0 end into strict v_stage;

  if v_child then
    v_made := private.write_offers(report, service_type, v_stage, wanted, true);
    if v_made = 0 and not exists (
      select 1
      from public.matched_services as m
      join public.support_services as s on s.id = m.service_id
      where m.report_id = report.report_id and m.service_type = make_offers.service_type
        and m.match_status_type = 'pending' and 'children' = any (s.specialisations)
    ) then
      perform private.escalate(report, service_type, 'no_child_specialist');
      v_made := private.write_offers(report, service_type, v_stage, wanted, false);
    end if;
  else
    v_made := private.write_offers(report, service_type, v_stage, wanted, false);
  end if;

  if v_made = 0 and not exists (
    select 1
    from public.matched_services as m
    where m.report_id = report.report_id and m.service_type = make_offers.service_type
      and m.match_status_type in ('pending', 'accepted', 'completed')
  ) then
    perform private.escalate(report, service_type, 'no_candidate');
  end if;
  return v_made;
end;
$$;
comment on function private.make_offers(public.reports, public.service_type, integer) is 'Makes at most `wanted` new offers and gives back how many; escalates when there is nobody to ask.';
revoke all on function private.make_offers(public.reports, public.service_type, integer) from public, anon, authenticated, service_role;
