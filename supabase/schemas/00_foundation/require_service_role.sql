-- Refuses every caller but the worker's service key.
--
-- Called first by the queue functions. It reads the role of the request's token, because inside a definer function
-- `current_user` is the owner; a direct database session (no token) passes only as a role that bypasses RLS. Locks: none.

create or replace function private.require_service_role()
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if coalesce(auth.role(), '') <> 'service_role' and session_user = 'authenticator' then
    perform private.raise_error('not_allowed', 'Only the worker may call this.', 'Use the service role key.');
  end if;
end;
$$;
comment on function private.require_service_role() is 'Raises not_allowed (403) unless the request carries the service role.';
revoke all on function private.require_service_role() from public, anon, authenticated, service_role;
grant execute on function private.require_service_role() to service_role;
