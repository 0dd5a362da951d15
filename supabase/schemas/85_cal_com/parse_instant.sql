-- A moment in ISO 8601 with its offset, or null.
--
-- Called by read_cal_com_event. Cal.com writes Z, .000Z and +00:00; words such as `infinity` or `tomorrow`, which Postgres
-- would take, and times without an offset are no moments. Locks: none.

create or replace function private.parse_instant(value text)
returns timestamptz
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if value ~ '^(19|20)\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$' then
    return value::timestamptz;
  end if;
  return null;
exception
  when data_exception then
    return null;
end;
$$;
comment on function private.parse_instant(text) is 'The moment that an ISO 8601 text with an offset names; null for anything else.';
revoke all on function private.parse_instant(text) from public, anon, authenticated, service_role;
