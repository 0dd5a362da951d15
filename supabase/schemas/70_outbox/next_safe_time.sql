-- Whether a time of day lies in somebody's safe hours, and if not, when they next begin.
--
-- Called by message_context. `from` after `until` means over midnight; equal means all day. Pure, so that it can be tested
-- over every hour. Locks: none.

create or replace function private.next_safe_time(at timestamptz, time_zone text, safe_from time, safe_until time)
returns timestamptz
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when safe_from is null or safe_until is null or safe_from = safe_until or (safe_from = '24:00' and safe_until = '00:00') then at
    when safe_from < safe_until and local.time_of_day >= safe_from and local.time_of_day < safe_until then at
    when safe_from > safe_until and (local.time_of_day >= safe_from or local.time_of_day < safe_until) then at
    else (local.day + case when local.time_of_day < safe_from then 0 else 1 end + safe_from) at time zone time_zone
  end
  from (select (at at time zone time_zone)::date as day, (at at time zone time_zone)::time as time_of_day) as local;
$$;
comment on function private.next_safe_time(timestamptz, text, time, time) is 'at itself when it is safe, else the next moment at which safe hours begin in that time zone.';
revoke all on function private.next_safe_time(timestamptz, text, time, time) from public, anon, authenticated, service_role;
