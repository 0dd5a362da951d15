-- The survivor decides whether their case may be passed on; with their consent it is offered to the colleague.
--
-- Called by the survivor; repeated, it changes nothing. A consent can be taken back until the colleague has accepted.
-- Definer: offers are not writable directly. The masked facts are copied from the accepted offer. Locks: see lock_match.

create or replace function private.answer_hand_over(hand_over_id uuid, agrees boolean)
returns public.hand_overs
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_now timestamptz := private.clock();
  v_hand_over public.hand_overs;
  v_locked record;
  v_match public.matched_services;
begin
  select h.* into v_hand_over
  from public.hand_overs as h
  where h.id = answer_hand_over.hand_over_id and h.survivor_id = v_user_id;
  if not found then
    perform private.raise_error('not_found');
  elsif agrees is null then
    perform private.raise_error('invalid_input', 'agrees: true or false');
  end if;
  select * into v_locked from private.lock_match(v_hand_over.matched_services);
  v_match := v_locked.match;
  select h.* into v_hand_over from public.hand_overs as h where h.id = v_hand_over.id for no key update;
  if (agrees and v_hand_over.status in ('consented', 'completed')) or (not agrees and v_hand_over.status = 'refused') then
    return v_hand_over;
  elsif v_hand_over.status not in ('requested', 'consented') then
    perform private.raise_error('invalid_transition', 'This hand-over has ended.');
  elsif v_match.match_status_type <> 'accepted' then
    perform private.raise_error('case_not_open');
  end if;

  if agrees then
    insert into public.matched_services as m (
      report_id, service_id, professional_id, service_type, incident_type, urgency, gender, age_category, match_score,
      offered_at, expires_at
    )
    select v_match.report_id, s.id, s.professional_id, v_match.service_type, v_match.incident_type, v_match.urgency,
      v_match.gender, v_match.age_category, 100, v_now,
      v_now + case v_match.urgency when 'high' then t.offer_ttl_high else t.offer_ttl_others end
    from public.support_services as s
    join public.professionals as p on p.id = s.professional_id
    cross join private.matching_settings as t
    -- Since the request they may have been suspended, or blocked.
    where s.id = v_hand_over.to_service_id and s.is_active and s.verification_status = 'verified'
      and p.verification_status = 'verified'
      and not exists (
        select 1
        from public.blocked_professionals as b
        where (b.survivor_id, b.professional_id) in ((v_user_id, p.id), (p.id, v_user_id))
      )
    -- The colleague may have been offered the case before, and somebody else was faster.
    on conflict on constraint matched_services_offered_once do update
    set match_status_type = 'pending', offered_at = excluded.offered_at, expires_at = excluded.expires_at,
      responded_at = null, decline_reason = null, closed_at = null
    where m.match_status_type in ('declined', 'expired', 'superseded', 'withdrawn')
    returning m.* into v_match;
    if not found then
      perform private.raise_error('not_verified', 'The colleague cannot take the case any more.');
    end if;
    insert into public.match_breakdowns (match_id, score, parts)
    values (v_match.id, 100, '{"hand_over": 100}')
    on conflict (match_id) do nothing;
    update public.hand_overs as h
    set status = 'consented', answered_at = v_now, offered_match = v_match.id
    where h.id = v_hand_over.id
    returning h.* into v_hand_over;
    perform private.give_consent(v_user_id, v_match.report_id, array['hand_over']);
    if not exists (
      select 1
      from public.notifications as n
      where n.matched_services = v_match.id and n.kind = 'offer_made' and n.created_at = v_now
    ) then
      perform private.notify(array[v_hand_over.to_professional_id], 'offer_made', match_id => v_match.id);
    end if;
  else
    update public.hand_overs as h
    set status = 'refused', answered_at = v_now, finished_at = v_now
    where h.id = v_hand_over.id;
    update public.matched_services as m
    set match_status_type = 'withdrawn', closed_at = v_now
    where m.id = v_hand_over.offered_match and m.match_status_type = 'pending';
    update public.consents as c
    set withdrawn_at = v_now
    where c.report_id = v_match.report_id and c.purpose = 'hand_over' and c.withdrawn_at is null;
    select h.* into v_hand_over from public.hand_overs as h where h.id = v_hand_over.id;
  end if;
  perform private.record_audit(
    'hand_over_answered', v_user_id, v_user_id, jsonb_build_object('agrees', agrees),
    jsonb_build_object('hand_over_id', v_hand_over.id, 'match_id', v_hand_over.matched_services)
  );
  perform private.notify(array[v_hand_over.from_professional_id], 'hand_over_answered', match_id => v_hand_over.matched_services);
  return v_hand_over;
end;
$$;
comment on function private.answer_hand_over(uuid, boolean) is 'Definer: offers and consents are not writable directly. The caller must be the survivor of the case.';
revoke all on function private.answer_hand_over(uuid, boolean) from public, anon, authenticated, service_role;
grant execute on function private.answer_hand_over(uuid, boolean) to authenticated;

create or replace function public.answer_hand_over(hand_over_id uuid, agrees boolean)
returns public.hand_overs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.answer_hand_over(hand_over_id, agrees);
end;
$$;
comment on function public.answer_hand_over(uuid, boolean) is
  'Survivor: agrees that the case is passed on, or does not; it is then offered to the colleague, whose acceptance by appointment moves it. An agreement can be taken back until then. → the hand-over. Errors: not_found, case_not_open, invalid_transition, not_verified, invalid_input.';
revoke all on function public.answer_hand_over(uuid, boolean) from public, anon, authenticated, service_role;
grant execute on function public.answer_hand_over(uuid, boolean) to anon, authenticated;
