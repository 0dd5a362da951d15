-- A professional passes on an offer, and the next best candidate is asked in the same transaction.
--
-- Called by the professional who was offered it; a second call changes nothing. Definer: nobody may write offers
-- directly. Locks: see lock_match.

create or replace function private.decline_match(match_id uuid, reason text)
returns public.matched_services
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_locked record;
  v_match public.matched_services;
begin
  if not exists (
    select 1 from public.matched_services as m where m.id = decline_match.match_id and m.professional_id = v_user_id
  ) then
    perform private.raise_error('not_found');
  end if;
  if length(reason) > 500 then
    perform private.raise_error('invalid_input', 'reason: at most 500 characters');
  end if;
  select * into v_locked from private.lock_match(match_id);
  v_match := v_locked.match;
  if v_match.match_status_type = 'declined' then
    return v_match;
  elsif v_match.match_status_type = 'expired' then
    perform private.raise_error('match_expired');
  elsif v_match.match_status_type <> 'pending' then
    perform private.raise_error('match_not_pending');
  end if;
  update public.matched_services as m
  set match_status_type = 'declined', responded_at = private.clock(), decline_reason = reason
  where m.id = v_match.id
  returning m.* into v_match;
  perform private.replace_offer(v_locked.report, v_match.service_type);
  return v_match;
end;
$$;
comment on function private.decline_match(uuid, text) is 'Definer: offers are not writable directly. The caller must be the professional of the offer.';
revoke all on function private.decline_match(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.decline_match(uuid, text) to authenticated;

create or replace function public.decline_match(match_id uuid, reason text default null)
returns public.matched_services
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.decline_match(match_id, reason);
end;
$$;
comment on function public.decline_match(uuid, text) is
  'Professional: passes on an offer; the next best candidate is asked at once. → the offer. Errors: not_found, match_not_pending, match_expired, invalid_input.';
revoke all on function public.decline_match(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.decline_match(uuid, text) to anon, authenticated;
