-- The moment at which a wall clock in a time zone shows a reading.
--
-- Called by expand_recurrence. A reading that the clock shows twice is its first time and one that it skips is read with
-- the offset before, as RFC 5545 (3.3.5) wants; PostgreSQL alone takes the second of two. Pure. Locks: none.

create or replace function private.first_instant_of(reading timestamp, time_zone text)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_instant timestamptz := reading at time zone time_zone;
  v_day_before timestamptz := v_instant - interval '24 hours';
  v_earlier timestamptz := (reading at time zone 'UTC')
    - ((v_day_before at time zone time_zone) - (v_day_before at time zone 'UTC'));
begin
  if v_earlier < v_instant and v_earlier at time zone time_zone = reading then
    return v_earlier;
  end if;
  return v_instant;
end;
$$;
comment on function private.first_instant_of(timestamp, text) is 'The first moment with that local date and time; for a skipped one, the moment counted with the offset before the gap.';
revoke all on function private.first_instant_of(timestamp, text) from public, anon, authenticated, service_role;
