-- Refuses a time, a duration or a type that no appointment can have.
--
-- Called before any lock is taken by every function that makes or moves an appointment. Locks: none.

create or replace function private.check_appointment_time(starts_at timestamptz, duration_minutes integer, appointment_type text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
begin
  if starts_at is null or not isfinite(starts_at) then
    perform private.raise_error('invalid_input', 'starts_at: not a moment.');
  elsif starts_at <= v_now then
    perform private.raise_error('in_the_past');
  elsif starts_at > v_now + interval '2 years' then
    perform private.raise_error('invalid_input', 'starts_at: more than two years ahead.');
  elsif duration_minutes is null or duration_minutes not between 30 and 120 then
    perform private.raise_error('invalid_duration');
  elsif appointment_type is null or appointment_type !~ '[^[:space:]]' or not private.is_clean_text(appointment_type, 60) then
    perform private.raise_error('invalid_input', 'appointment_type: one line of 1 to 60 characters.');
  end if;
end;
$$;
comment on function private.check_appointment_time(timestamptz, integer, text) is 'Raises invalid_input, in_the_past or invalid_duration.';
revoke all on function private.check_appointment_time(timestamptz, integer, text) from public, anon, authenticated, service_role;
