-- Remembers that a person went to a provider's consent page, so that only they come back from it, once.
--
-- Called by the Edge Function `api` with the service key, after it has verified who the user is. Definer: the states are
-- private. Locks: the person's row, so that the limit holds.

create or replace function private.begin_calendar_oauth(user_id uuid, provider text, state_hash text, verifier text)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  if provider is null or provider not in ('google', 'microsoft')
    or state_hash is null or state_hash !~ '^[0-9a-f]{64}$'
    or verifier is null or length(verifier) > 2000
    or verifier !~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{22,}$'
  then
    perform private.raise_error('invalid_input', 'provider, state_hash or verifier');
  end if;
  perform 1 from public.profiles as p where p.id = begin_calendar_oauth.user_id for no key update;
  if not found then
    perform private.raise_error('not_found');
  end if;
  delete from private.oauth_states as s where s.expires_at <= private.clock();
  if (select count(*) from private.oauth_states as s where s.user_id = begin_calendar_oauth.user_id) >= 10 then
    perform private.raise_error('too_many_requests');
  end if;
  insert into private.oauth_states (state_hash, user_id, provider, verifier, expires_at)
  select begin_calendar_oauth.state_hash, begin_calendar_oauth.user_id,
    begin_calendar_oauth.provider::public.calendar_provider, begin_calendar_oauth.verifier,
    private.clock() + make_interval(mins => s.oauth_minutes)
  from private.calendar_settings as s;
end;
$$;
comment on function private.begin_calendar_oauth(uuid, text, text, text) is 'Definer: the states are private. The caller must be the Edge Function with the service key.';
revoke all on function private.begin_calendar_oauth(uuid, text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.begin_calendar_oauth(uuid, text, text, text) to service_role;

create or replace function public.begin_calendar_oauth(user_id uuid, provider text, state_hash text, verifier text)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.begin_calendar_oauth(user_id, provider, state_hash, verifier);
$$;
comment on function public.begin_calendar_oauth(uuid, text, text, text) is
  'Edge Function: keeps the hash of an OAuth state and the encrypted PKCE verifier, at most 10 a person. Errors: not_found, invalid_input, too_many_requests.';
revoke all on function public.begin_calendar_oauth(uuid, text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_calendar_oauth(uuid, text, text, text) to service_role;
