-- A professional asks to pass an accepted case on to a colleague; nothing moves before the survivor has agreed.
--
-- Called by the professional who holds it; repeated, it gives the same request. Whoever could not be offered the case (not
-- verified, another kind of help, blocked either way) is not found. Definer: it reads the survivor's blocks. Locks: see
-- lock_match.

create or replace function private.request_hand_over(match_id uuid, service_id uuid, share_notes boolean, reason text)
returns public.hand_overs
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_locked record;
  v_hand_over public.hand_overs;
  v_to public.professionals;
begin
  if not exists (
    select 1 from public.matched_services as m where m.id = request_hand_over.match_id and m.professional_id = v_user_id
  ) then
    perform private.raise_error('not_found');
  elsif length(reason) > 500 then
    perform private.raise_error('invalid_input', 'reason: at most 500 characters');
  elsif share_notes is null then
    perform private.raise_error('invalid_input', 'share_notes: true or false');
  end if;
  select * into v_locked from private.lock_match(match_id);
  if (v_locked.report).status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif (v_locked.match).match_status_type <> 'accepted' then
    perform private.raise_error('case_not_open');
  elsif not exists (
    select 1 from public.professionals as p where p.id = v_user_id and p.verification_status = 'verified'
  ) then
    perform private.raise_error('not_verified');
  end if;
  select h.* into v_hand_over
  from public.hand_overs as h
  where h.matched_services = request_hand_over.match_id and h.status in ('requested', 'consented');
  if found then
    if v_hand_over.to_service_id = service_id and v_hand_over.share_notes = share_notes then
      return v_hand_over;
    end if;
    perform private.raise_error('invalid_transition', 'Another hand-over of this case is under way.');
  end if;
  select p.* into v_to
  from public.support_services as s
  join public.professionals as p on p.id = s.professional_id
  where s.id = request_hand_over.service_id
    and s.service_type = (v_locked.match).service_type and s.is_active and s.verification_status = 'verified'
    and p.verification_status = 'verified' and p.id not in (v_user_id, (v_locked.report).user_id)
    and not exists (
      select 1
      from public.blocked_professionals as b
      where (b.survivor_id, b.professional_id) in (((v_locked.report).user_id, p.id), (p.id, (v_locked.report).user_id))
    );
  if not found then
    perform private.raise_error('not_found', 'There is no such service that could take this case.');
  end if;
  insert into public.hand_overs (
    matched_services, survivor_id, from_professional_id, to_professional_id, to_service_id, to_name, reason, share_notes,
    created_at
  )
  values (
    request_hand_over.match_id, (v_locked.report).user_id, v_user_id, v_to.id, request_hand_over.service_id,
    v_to.professional_title, request_hand_over.reason, request_hand_over.share_notes, private.clock()
  )
  returning * into v_hand_over;
  perform private.record_audit(
    'hand_over_requested', v_user_id, v_hand_over.survivor_id, jsonb_build_object('share_notes', share_notes),
    jsonb_build_object('hand_over_id', v_hand_over.id, 'match_id', request_hand_over.match_id)
  );
  perform private.notify(array[v_hand_over.survivor_id], 'hand_over_requested', match_id => request_hand_over.match_id);
  return v_hand_over;
end;
$$;
comment on function private.request_hand_over(uuid, uuid, boolean, text) is 'Definer: reads blocks and services of others. The caller must hold the case.';
revoke all on function private.request_hand_over(uuid, uuid, boolean, text) from public, anon, authenticated, service_role;
grant execute on function private.request_hand_over(uuid, uuid, boolean, text) to authenticated;

create or replace function public.request_hand_over(
  match_id uuid, service_id uuid, share_notes boolean default false, reason text default null
)
returns public.hand_overs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.request_hand_over(match_id, service_id, share_notes, reason);
end;
$$;
comment on function public.request_hand_over(uuid, uuid, boolean, text) is
  'Professional who accepted: asks to pass the case on to a colleague''s service of the same kind; with share_notes the own notes are copied along. The survivor decides. → the hand-over. Errors: not_found, case_not_open, report_withdrawn, not_verified, invalid_transition, invalid_input.';
revoke all on function public.request_hand_over(uuid, uuid, boolean, text) from public, anon, authenticated, service_role;
grant execute on function public.request_hand_over(uuid, uuid, boolean, text) to anon, authenticated;
