-- Takes an OAuth state out: whoever comes second with the same one finds nothing.
--
-- Called by the Edge Function `api` with the service key, when the provider sends the browser back. Definer: the states
-- are private. Locks: the state, which is deleted.

create or replace function private.take_calendar_oauth(provider text, state_hash text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_state private.oauth_states;
begin
  perform private.require_service_role();
  delete from private.oauth_states as s
  where s.state_hash = take_calendar_oauth.state_hash and s.provider::text = take_calendar_oauth.provider
  returning s.* into v_state;
  if v_state.state_hash is null or v_state.expires_at <= private.clock() then
    -- An answer and not an error, which would put the row back.
    return null;
  end if;
  return jsonb_build_object('user_id', v_state.user_id, 'verifier', v_state.verifier);
end;
$$;
comment on function private.take_calendar_oauth(text, text) is 'Definer: the states are private. The caller must be the Edge Function with the service key.';
revoke all on function private.take_calendar_oauth(text, text) from public, anon, authenticated, service_role;
grant execute on function private.take_calendar_oauth(text, text) to service_role;

create or replace function public.take_calendar_oauth(provider text, state_hash text)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.take_calendar_oauth(provider, state_hash);
$$;
comment on function public.take_calendar_oauth(text, text) is
  'Edge Function: uses an OAuth state up. → jsonb {user_id, verifier}, null when it was never given, used before or is too old.';
revoke all on function public.take_calendar_oauth(text, text) from public, anon, authenticated, service_role;
grant execute on function public.take_calendar_oauth(text, text) to service_role;
