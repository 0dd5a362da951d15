-- What is kept of a secret token.
--
-- Called wherever a token is made or shown. A plain hash is enough: nobody can guess 256 random bits. Locks: none.

create or replace function private.hash_token(token text)
returns bytea
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return sha256(convert_to(token, 'UTF8'));
end;
$$;
comment on function private.hash_token(text) is 'SHA-256 of a token.';
revoke all on function private.hash_token(text) from public, anon, authenticated, service_role;
