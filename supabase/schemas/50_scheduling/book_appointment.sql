-- A visitor asks for an appointment with a professional who takes public bookings.
--
-- Called by anybody; a signed-in survivor becomes its survivor. The form is judged first, then whether there is such a
-- professional, then the slot, then the limits: an address that does not exist and one that is private are one answer. The
-- token is given once. Definer: visitors may write nothing. Locks: the professional, the survivor, the counters.

create or replace function private.book_appointment(
  booking_slug text, starts_at timestamptz, duration_minutes integer, appointment_type text, client jsonb,
  out appointment_id uuid, out manage_token text
)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_survivor_id uuid := (select p.id from public.profiles as p where p.id = auth.uid() and p.user_type = 'survivor');
  v_client public.appointment_clients := private.read_client(client, v_survivor_id is not null);
  v_professional_id uuid;
begin
  perform private.check_appointment_time(starts_at, duration_minutes, appointment_type);
  select p.id into v_professional_id
  from public.professionals as p
  where p.booking_slug = book_appointment.booking_slug and p.verification_status = 'verified' and p.is_public_booking;
  if not found then
    perform private.raise_error('not_found');
  elsif exists (
    select 1 from public.appointment_types as t where t.professional_id = v_professional_id and t.is_public and t.is_active
  ) and not exists (
    select 1
    from public.appointment_types as t
    where t.professional_id = v_professional_id and t.is_public and t.is_active and t.name = book_appointment.appointment_type
      and t.duration_minutes = book_appointment.duration_minutes
  ) then
    perform private.raise_error('invalid_input', 'appointment_type, duration_minutes: not one of the types that this professional offers.');
  end if;
  -- Who comes too late need not wait for those before them.
  if private.is_engaged(v_professional_id, starts_at, duration_minutes) then
    perform private.require_free_slot(v_professional_id, starts_at, duration_minutes, v_survivor_id);
  end if;

  perform 1
  from public.professionals as p
  where p.id = v_professional_id and p.booking_slug = book_appointment.booking_slug and p.verification_status = 'verified'
    and p.is_public_booking
  for no key update;
  if not found then
    perform private.raise_error('not_found');
  end if;
  perform 1 from public.profiles as p where p.id = v_survivor_id for no key update;
  perform private.require_free_slot(v_professional_id, starts_at, duration_minutes, v_survivor_id);
  perform private.count_booking(v_professional_id, auth.uid(), v_client.client_email);
  v_client.appointment_id := (private.make_appointment(
    professional_id => v_professional_id, survivor_id => v_survivor_id, match_id => null, starts_at => starts_at,
    duration_minutes => duration_minutes, appointment_type => appointment_type, status => 'requested',
    created_via => 'public_booking'
  )).appointment_id;
  v_client.created_at := private.clock();
  insert into public.appointment_clients select v_client.*;
  appointment_id := v_client.appointment_id;
  manage_token := private.new_token();
  insert into private.booking_tokens (appointment_id, token_hash)
  values (book_appointment.appointment_id, private.hash_token(manage_token));
end;
$$;
comment on function private.book_appointment(text, timestamptz, integer, text, jsonb) is 'Definer: visitors may write nothing. Anybody may book what available_slots offers, within the limits of private.booking_settings.';
revoke all on function private.book_appointment(text, timestamptz, integer, text, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.book_appointment(text, timestamptz, integer, text, jsonb) to anon, authenticated, service_role;

create or replace function public.book_appointment(
  booking_slug text, starts_at timestamptz, duration_minutes integer, appointment_type text, client jsonb,
  out appointment_id uuid, out manage_token text
)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  select b.appointment_id, b.manage_token into appointment_id, manage_token
  from private.book_appointment(booking_slug, starts_at, duration_minutes, appointment_type, client) as b;
end;
$$;
comment on function public.book_appointment(text, timestamptz, integer, text, jsonb) is
  'Visitor: requests a free slot of the professional at booking_slug. client {client_name, client_email, client_phone, emergency_contact_name, emergency_contact_phone, message, locale, time_zone}: name and mail are required, of a signed-in survivor the name alone. → appointment_id, manage_token (shown this once). Errors: invalid_input, in_the_past, invalid_duration, not_found, slot_taken, outside_availability, too_many_requests.';
revoke all on function public.book_appointment(text, timestamptz, integer, text, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.book_appointment(text, timestamptz, integer, text, jsonb) to anon, authenticated, service_role;
