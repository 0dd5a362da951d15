-- The colleague accepts: the case leaves the one who held it, in the transaction of the acceptance.
--
-- Called by accept_match, under its locks, before the offer becomes accepted; does nothing for other offers. The earlier
-- holder's future sessions are cancelled and their access ends; copies of their notes go along if they said so. Locks: the
-- hand-over, the earlier offer and its appointments.

create or replace function private.finish_hand_over(match_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_hand_over public.hand_overs;
begin
  select h.* into v_hand_over
  from public.hand_overs as h
  where h.offered_match = finish_hand_over.match_id and h.status = 'consented'
  for no key update;
  if not found then
    return;
  end if;
  v_now := private.clock();
  update public.hand_overs as h set status = 'completed', finished_at = v_now where h.id = v_hand_over.id;
  update public.matched_services as m
  set match_status_type = 'withdrawn', closed_at = v_now
  where m.id = v_hand_over.matched_services;
  update public.appointments as a
  set status = 'cancelled'
  where a.matched_services = v_hand_over.matched_services and a.status in ('requested', 'confirmed')
    and upper(private.appointment_during(a.appointment_date, a.duration_minutes)) > v_now;
  perform private.record_audit(
    'hand_over_completed', v_hand_over.to_professional_id, v_hand_over.survivor_id,
    jsonb_build_object('share_notes', v_hand_over.share_notes),
    jsonb_build_object('hand_over_id', v_hand_over.id, 'match_id', finish_hand_over.match_id)
  );
  perform private.notify(
    array[v_hand_over.from_professional_id, v_hand_over.survivor_id], 'hand_over_completed',
    match_id => v_hand_over.matched_services
  );
end;
$$;
comment on function private.finish_hand_over(uuid) is 'Ends the earlier offer of a hand-over whose new offer is being accepted.';
revoke all on function private.finish_hand_over(uuid) from public, anon, authenticated, service_role;
