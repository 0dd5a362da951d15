-- Offers one required service of a report to the best candidates not yet asked, at a stage of the search.
--
-- Called by match_report and make_offers; the caller holds the report's lock, so that two searches never offer past each
-- other. A child's case goes to child specialists; to others only when there is none, and then it is escalated too. When
-- nobody can be asked and nobody is still thinking, it is escalated at once. Locks: none beyond the caller's.

create or replace function private.ask_candidates(
  report public.reports, service_type public.service_type, stage integer, wanted integer
)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_child boolean := coalesce(report.age_category = 'child', false);
  v_made integer;
begin
  v_made := private.write_offers(report, service_type, stage, wanted, v_child);
  -- One question after the other: asked together they would be planned at every call, for a number of offers each time.
  if v_made = 0 and v_child then
    if not exists (
      select 1
      from public.matched_services as m
      join public.support_services as s on s.id = m.service_id
      where m.report_id = report.report_id and m.service_type = ask_candidates.service_type
        and m.match_status_type = 'pending' and 'children' = any (s.specialisations)
    ) then
      perform private.escalate(report, service_type, 'no_child_specialist');
      v_made := private.write_offers(report, service_type, stage, wanted, false);
    end if;
  end if;
  if v_made = 0 then
    if not exists (
      select 1
      from public.matched_services as m
      where m.report_id = report.report_id and m.service_type = ask_candidates.service_type
        and m.match_status_type in ('pending', 'accepted', 'completed')
    ) then
      perform private.escalate(report, service_type, 'no_candidate');
    end if;
  end if;
  return v_made;
end;
$$;
comment on function private.ask_candidates(public.reports, public.service_type, integer, integer) is
  'Makes at most `wanted` new offers and gives back how many; escalates when there is nobody to ask. stage: see best_candidates.';
revoke all on function private.ask_candidates(public.reports, public.service_type, integer, integer)
  from public, anon, authenticated, service_role;
