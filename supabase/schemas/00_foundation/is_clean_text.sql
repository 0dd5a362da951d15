-- Whether a one-line text is free of control characters and within its length.
--
-- Called by check constraints: names end in mail headers and calendar lines, where a line break would be an injection.
-- Locks: none.

create or replace function private.is_clean_text(value text, max_length integer)
returns boolean
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
begin
  return length(value) <= max_length and value !~ '[[:cntrl:]]';
end;
$$;
comment on function private.is_clean_text(text, integer) is 'True for one line of at most max_length characters without control characters.';
revoke all on function private.is_clean_text(text, integer) from public, anon, authenticated, service_role;
grant execute on function private.is_clean_text(text, integer) to anon, authenticated, service_role;
