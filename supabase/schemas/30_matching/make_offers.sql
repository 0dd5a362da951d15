-- Searches again for one required service of a report, at the stage that its response clock has reached.
--
-- Called by decline, expiry, release, rematch and the response clock; the caller holds the report's lock. Locks: the
-- clock.

create or replace function private.make_offers(report public.reports, service_type public.service_type, wanted integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_stage integer;
begin
  update private.response_clocks as c
  set searched_at = private.clock()
  where c.report_id = report.report_id and c.service_type = make_offers.service_type
  returning case when c.opened_at is not null then 2 when c.widened_at is not null then 1 else 0 end into strict v_stage;

  return private.ask_candidates(report, service_type, v_stage, wanted);
end;
$$;
comment on function private.make_offers(public.reports, public.service_type, integer) is 'Makes at most `wanted` new offers and gives back how many; escalates when there is nobody to ask.';
revoke all on function private.make_offers(public.reports, public.service_type, integer) from public, anon, authenticated, service_role;
