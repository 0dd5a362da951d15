-- Whether a name is a time zone that this server knows.
--
-- Called by check constraints. Declared immutable because a zone, once known, stays known. Locks: none.

create or replace function private.is_time_zone(name text)
returns boolean
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  -- POSIX strings such as 'X+5' are accepted by the server but mean nothing to a calendar program.
  if name is null or name !~ '^(UTC|GMT|[A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2})$' then
    return false;
  end if;
  perform timestamptz 'epoch' at time zone name;
  return true;
exception
  when invalid_parameter_value then
    return false;
end;
$$;
comment on function private.is_time_zone(text) is 'True for an IANA time zone name that this server knows.';
revoke all on function private.is_time_zone(text) from public, anon, authenticated, service_role;
grant execute on function private.is_time_zone(text) to anon, authenticated, service_role;
