-- What is kept of an address that mail did not reach: enough to know it again, too little to write to.
--
-- Called where mail is about to go, and where it failed; sauti_sync/messages/return_path.py computes the same. Locks: none.

create or replace function private.address_digest(address text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select left(encode(sha256(convert_to(address, 'UTF8')), 'hex'), 10);
$$;
comment on function private.address_digest(text) is 'The first 40 bits of SHA-256, in hexadecimal digits.';
revoke all on function private.address_digest(text) from public, anon, authenticated, service_role;
