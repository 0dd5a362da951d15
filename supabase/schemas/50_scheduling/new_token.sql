-- A secret that opens one thing to whoever holds it: 256 random bits, as 43 letters, digits, - and _.
--
-- Called by book_appointment and rotate_calendar_feed, which show it once and keep its hash. Locks: none.

create or replace function private.new_token()
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return translate(encode(extensions.gen_random_bytes(32), 'base64'), '+/=', '-_');
end;
$$;
comment on function private.new_token() is 'A new secret token of 43 characters that need no encoding in an address.';
revoke all on function private.new_token() from public, anon, authenticated, service_role;
