-- A service may not be used any more: the open offers made to it end, and the next best candidates are asked.
--
-- Called by the triggers on professionals and services, when one is no longer verified; its lanes are gone by then. A
-- report that somebody is changing at this moment is passed by: the caller holds a service row, for which an acceptance
-- of that report may be waiting. Such an offer cannot be accepted, and it expires. Locks: reports with skip locked, then
-- the offers.

create or replace function private.withdraw_offers_of_services(service_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_offer record;
begin
  for v_offer in
    select r as report, m.id as match_id, m.service_type
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.service_id = any (service_ids) and m.match_status_type = 'pending'
    order by r.report_id
    for no key update of r skip locked
  loop
    update public.matched_services as m
    set match_status_type = 'withdrawn', closed_at = private.clock()
    where m.id = v_offer.match_id and m.match_status_type = 'pending';
    if found then
      perform private.replace_offer(v_offer.report, v_offer.service_type);
    end if;
  end loop;
end;
$$;
comment on function private.withdraw_offers_of_services(uuid[]) is 'Ends and replaces the pending offers of services that are no longer verified.';
revoke all on function private.withdraw_offers_of_services(uuid[]) from public, anon, authenticated, service_role;
