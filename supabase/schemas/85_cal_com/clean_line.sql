-- One clean line out of a stranger's text, or null.
--
-- Called by read_cal_com_event and read_cal_com_details: a name with a line break must not cost a booking, nor begin a
-- mail's header. What is_plain_line refuses becomes a space. Locks: none.

create or replace function private.clean_line(value text, max_length integer)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return nullif(btrim(left(btrim(
    regexp_replace(value, '[[:cntrl:]\u0001-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069<>]+', ' ', 'g')
  ), max_length)), '');
end;
$$;
comment on function private.clean_line(text, integer) is 'The text without control characters, marks of direction and angle brackets, cut to max_length; null when nothing is left.';
revoke all on function private.clean_line(text, integer) from public, anon, authenticated, service_role;
