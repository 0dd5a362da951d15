-- The time that an appointment holds.
--
-- Called by the exclusion constraints. Adding whole minutes to a moment does not depend on a time zone, so it may be
-- called immutable, which an index needs. Locks: none.

create or replace function private.appointment_during(starts_at timestamptz, duration_minutes integer)
returns tstzrange
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return tstzrange(starts_at, starts_at + duration_minutes * interval '1 minute');
end;
$$;
comment on function private.appointment_during(timestamptz, integer) is 'From the start until the end, end excluded.';
revoke all on function private.appointment_during(timestamptz, integer) from public, anon, authenticated, service_role;
grant execute on function private.appointment_during(timestamptz, integer) to service_role;
