-- Whether a text is one plain mail address that every mail server takes.
--
-- Called by check constraints and read_client. No quoting, no comments, no display name, no list: nothing that a mail
-- program could read as more than one address. Locks: none.

create or replace function private.is_mail_address(value text)
returns boolean
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return length(value) <= 254
    and value ~ '^[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+)*@'
    and value ~ '@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]$'
    and value !~ '@.*@'
    and value !~ '^[^@]{65}'
    and value !~ '@(.*\.)?[^.]{64}';
end;
$$;
comment on function private.is_mail_address(text) is 'True for local@domain in ASCII, at most 254 characters, local part at most 64.';
revoke all on function private.is_mail_address(text) from public, anon, authenticated, service_role;
grant execute on function private.is_mail_address(text) to service_role;
