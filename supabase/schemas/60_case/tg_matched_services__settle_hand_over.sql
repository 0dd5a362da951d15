-- What happens to an offer is followed by the hand-over that hangs on it.
--
-- Called by: update on public.matched_services. An offered colleague who accepted gets the copies of shared notes; one who
-- did not ends the hand-over; so does the end of the case itself. Definer: notes are their author's. Locks: the
-- hand-over.

create or replace function private.tg_matched_services__settle_hand_over()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_hand_over public.hand_overs;
begin
  if new.match_status_type = 'accepted' then
    select h.* into v_hand_over
    from public.hand_overs as h
    where h.offered_match = new.id and h.status = 'completed' and h.finished_at = new.responded_at and h.share_notes;
    if found then
      insert into public.case_notes (matched_services, professional_id, body)
      select new.id, new.professional_id, n.body
      from public.case_notes as n
      where n.matched_services = v_hand_over.matched_services and n.professional_id = v_hand_over.from_professional_id
      order by n.created_at;
    end if;
    return null;
  end if;
  for v_hand_over in
    update public.hand_overs as h
    set status = 'lapsed', finished_at = private.clock()
    where h.status in ('requested', 'consented') and (h.offered_match = new.id or h.matched_services = new.id)
    returning h.*
  loop
    update public.matched_services as m
    set match_status_type = 'withdrawn', closed_at = private.clock()
    where m.id = v_hand_over.offered_match and m.match_status_type = 'pending';
    update public.consents as c
    set withdrawn_at = greatest(private.clock(), c.given_at)
    where c.report_id = new.report_id and c.purpose = 'hand_over' and c.withdrawn_at is null;
    perform private.notify(
      array[v_hand_over.from_professional_id, v_hand_over.survivor_id], 'hand_over_answered',
      match_id => v_hand_over.matched_services
    );
  end loop;
  return null;
end;
$$;
comment on function private.tg_matched_services__settle_hand_over() is 'Definer: hand-overs, offers and other people''s notes are not writable directly.';
revoke all on function private.tg_matched_services__settle_hand_over() from public, anon, authenticated, service_role;

create trigger _700_settle_hand_over
after update of match_status_type on public.matched_services
for each row
when (
  old.match_status_type <> new.match_status_type and old.match_status_type in ('pending', 'accepted')
)
execute function private.tg_matched_services__settle_hand_over();
