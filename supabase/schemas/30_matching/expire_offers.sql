-- Offers that nobody answered in time lapse, and the next best candidate is asked at once.
--
-- Called by run_due_timers. At most `max_offers` in one transaction. Locks: report rows with skip locked (one that is
-- being accepted this moment is left for the next round), then the offers.

create or replace function private.expire_offers(max_offers integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_due record;
  v_expired integer := 0;
begin
  for v_due in
    select r as report, m.id as match_id, m.service_type
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.match_status_type = 'pending' and m.expires_at <= private.clock()
    order by m.expires_at
    limit max_offers
    for no key update of r skip locked
  loop
    update public.matched_services as m
    set match_status_type = 'expired'
    where m.id = v_due.match_id and m.match_status_type = 'pending';
    -- Read before the report's lock was taken, the row may have changed since.
    if found then
      v_expired := v_expired + 1;
      perform private.replace_offer(v_due.report, v_due.service_type);
    end if;
  end loop;
  return v_expired;
end;
$$;
comment on function private.expire_offers(integer) is 'Expires due offers and replaces them; gives back how many.';
revoke all on function private.expire_offers(integer) from public, anon, authenticated, service_role;
