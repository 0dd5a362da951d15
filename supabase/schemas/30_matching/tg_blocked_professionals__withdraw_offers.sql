-- Who is blocked loses the offers they have of the other's reports, and the next best candidate is asked.
--
-- Called by: insert on public.blocked_professionals. Definer: offers are not writable directly. Works both ways, because
-- a professional may have blocked somebody as a survivor. A case that has been accepted is ended with withdraw_report.
-- Locks: see lock_match, professionals in the order of their ids.

create or replace function private.tg_blocked_professionals__withdraw_offers()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_offer record;
  v_locked record;
begin
  for v_offer in
    select m.id, m.service_type
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.match_status_type = 'pending'
      and (m.professional_id, r.user_id) in ((new.professional_id, new.survivor_id), (new.survivor_id, new.professional_id))
    order by m.professional_id, m.id
  loop
    select * into v_locked from private.lock_match(v_offer.id);
    update public.matched_services as m
    set match_status_type = 'withdrawn', closed_at = private.clock()
    where m.id = v_offer.id and m.match_status_type = 'pending';
    if found then
      perform private.replace_offer(v_locked.report, v_offer.service_type);
    end if;
  end loop;
  return null;
end;
$$;
comment on function private.tg_blocked_professionals__withdraw_offers() is 'Definer: offers are not writable directly. Ends the open offers between the two and replaces them.';
revoke all on function private.tg_blocked_professionals__withdraw_offers() from public, anon, authenticated, service_role;

create trigger _500_withdraw_offers
after insert on public.blocked_professionals
for each row execute function private.tg_blocked_professionals__withdraw_offers();
