-- Writes the offers for the best candidates: masked facts, rounded score, breakdown.
--
-- Called by ask_candidates only. The masked facts are copied here; nothing else of the report is. Locks: none beyond the
-- caller's.

create or replace function private.write_offers(
  report public.reports, service_type public.service_type, stage integer, wanted integer, children_only boolean
)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_made integer;
begin
  with best as materialized (
    select gen_random_uuid() as match_id, b.*
    from private.best_candidates(report, write_offers.service_type, stage, wanted, children_only) as b
  ),
  offered as (
    insert into public.matched_services (
      id, report_id, service_id, professional_id, service_type, incident_type, urgency, gender, age_category, match_score,
      offered_at, expires_at
    )
    select b.match_id, report.report_id, b.service_id, b.professional_id, write_offers.service_type,
      report.incident_type, report.urgency, report.gender, report.age_category, (round(b.score / 5) * 5)::smallint,
      v_now, v_now + case report.urgency when 'high' then s.offer_ttl_high else s.offer_ttl_others end
    from best as b
    cross join private.matching_settings as s
  )
  insert into public.match_breakdowns (match_id, score, parts)
  select b.match_id, b.score, b.parts from best as b;
  get diagnostics v_made = row_count;
  return v_made;
end;
$$;
comment on function private.write_offers(public.reports, public.service_type, integer, integer, boolean) is 'Inserts offers and their breakdowns; gives back how many.';
revoke all on function private.write_offers(public.reports, public.service_type, integer, integer, boolean)
  from public, anon, authenticated, service_role;
