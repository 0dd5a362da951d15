-- A visitor looks at a booking.
--
-- Called by whoever has its manage token; a wrong one is as if there were no booking. Definer: visitors may read nothing.
-- Locks: none.

create or replace function private.booking_by_token(token text)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_appointment public.appointments;
begin
  select a.* into v_appointment
  from private.booking_tokens as t
  join public.appointments as a on a.appointment_id = t.appointment_id
  where t.token_hash = private.hash_token(token);
  if not found then
    perform private.raise_error('not_found');
  end if;
  return private.booking_facts(v_appointment);
end;
$$;
comment on function private.booking_by_token(text) is 'Definer: visitors may read nothing. The caller must hold the booking''s token.';
revoke all on function private.booking_by_token(text) from public, anon, authenticated, service_role;
grant execute on function private.booking_by_token(text) to anon, authenticated, service_role;

create or replace function public.booking_by_token(token text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return private.booking_by_token(token);
end;
$$;
comment on function public.booking_by_token(text) is
  'Visitor: the booking of a manage token. → jsonb {appointment_id, professional_id, professional_title, starts_at, ends_at, duration_minutes, appointment_type, status, held_until, sequence, time_zone, meeting_url, location, created_at, revised_at, calendar_links}. Errors: not_found.';
revoke all on function public.booking_by_token(text) from public, anon, authenticated, service_role;
grant execute on function public.booking_by_token(text) to anon, authenticated, service_role;
