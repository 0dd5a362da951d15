-- The worker that spent a refresh token stores what it got, or says that the provider refuses it for good.
--
-- Called by the worker with the lease of begin_token_refresh; with neither credentials nor error it gives the lease back.
-- Definer: credentials are private. Locks: the credentials; the connection when it has to be stopped.

create or replace function private.finish_token_refresh(connection_id uuid, lease uuid, credentials text, error text)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  if length(credentials) > 20000 or credentials !~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{22,}$' then
    perform private.raise_error('invalid_input', 'credentials: not a ciphertext');
  elsif error <> 'needs_reauth' then
    perform private.raise_error('invalid_input', 'error: needs_reauth or null');
  end if;
  update private.calendar_credentials as k
  set ciphertext = coalesce(finish_token_refresh.credentials, k.ciphertext), refresh_lease = null,
    refresh_leased_until = null, updated_at = private.clock()
  where k.connection_id = finish_token_refresh.connection_id and k.refresh_lease = finish_token_refresh.lease;
  if not found then
    perform private.raise_error('invalid_transition', 'The lease of these credentials is held by another.');
  end if;
  if error is not null then
    perform private.record_calendar_failure(null, connection_id, error);
  end if;
end;
$$;
comment on function private.finish_token_refresh(uuid, uuid, text, text) is 'Definer: credentials are private. The caller must be the worker that holds the lease.';
revoke all on function private.finish_token_refresh(uuid, uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function private.finish_token_refresh(uuid, uuid, text, text) to service_role;

create or replace function public.finish_token_refresh(
  connection_id uuid, lease uuid, credentials text default null, error text default null
)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.finish_token_refresh(connection_id, lease, credentials, error);
$$;
comment on function public.finish_token_refresh(uuid, uuid, text, text) is
  'Worker: stores refreshed credentials; error needs_reauth stops the connection and tells its owner. Errors: invalid_transition (stale lease), invalid_input.';
revoke all on function public.finish_token_refresh(uuid, uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function public.finish_token_refresh(uuid, uuid, text, text) to service_role;
