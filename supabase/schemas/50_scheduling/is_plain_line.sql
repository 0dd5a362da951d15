-- Whether a text is one line that may stand in a mail's header and on a page: no control characters, no markup.
--
-- Called by check constraints and read_client. Beside the control characters it refuses what some program takes for a
-- line break or a change of direction, whatever the database's own notion of control characters is. Locks: none.

create or replace function private.is_plain_line(value text, max_length integer)
returns boolean
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return length(value) between 1 and max_length
    and value ~ '[^[:space:]]'
    and value !~ '[\u0001-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069<>]';
end;
$$;
comment on function private.is_plain_line(text, integer) is 'True for one line of 1 to max_length characters without control characters, angle brackets or marks of direction.';
revoke all on function private.is_plain_line(text, integer) from public, anon, authenticated, service_role;
grant execute on function private.is_plain_line(text, integer) to service_role;
