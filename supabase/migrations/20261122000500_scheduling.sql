-- The baseline of supabase/schemas/50_scheduling: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/50_scheduling/is_mail_address.sql
-- Whether a text is one plain mail address that every mail server takes.
--
-- Called by check constraints and read_client. No quoting, no comments, no display name, no list: nothing that a mail
-- program could read as more than one address. Locks: none.

create or replace function private.is_mail_address(value text)
returns boolean
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return length(value) <= 254
    and value ~ '^[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+)*@'
    and value ~ '@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]$'
    and value !~ '@.*@'
    and value !~ '^[^@]{65}'
    and value !~ '@(.*\.)?[^.]{64}';
end;
$$;
comment on function private.is_mail_address(text) is 'True for local@domain in ASCII, at most 254 characters, local part at most 64.';
revoke all on function private.is_mail_address(text) from public, anon, authenticated, service_role;
grant execute on function private.is_mail_address(text) to service_role;

-- supabase/schemas/50_scheduling/is_plain_line.sql
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

-- supabase/schemas/50_scheduling/tables.sql
-- What decides when a professional is free, and what visitors leave behind when they book.
--
-- Hours, exceptions, preferences and types are written by their owners, the rest by functions. Appointments themselves
-- are made with acceptance (40_acceptance/tables.sql).

create table public.availability_rules (
  id uuid primary key default gen_random_uuid(),
  professional_id uuid not null default auth.uid() references public.professionals (id) on delete cascade,
  weekday smallint not null,
  start_time time not null,
  end_time time not null,
  created_at timestamptz not null default now(),
  constraint availability_rules_weekday_iso check (weekday between 1 and 7),
  constraint availability_rules_starts_before_end check (start_time < end_time),
  constraint availability_rules_whole_minutes check (
    date_part('second', start_time) = 0 and date_part('second', end_time) = 0
  ),
  constraint availability_rules_once unique (professional_id, weekday, start_time, end_time)
);
comment on table public.availability_rules is 'Weekly working hours. No rows = Monday to Friday 09:00 to 17:00 in the professional''s time zone.';
comment on column public.availability_rules.id is 'Key.';
comment on column public.availability_rules.professional_id is 'Whose hours.';
comment on column public.availability_rules.weekday is 'ISO: 1 = Monday to 7 = Sunday.';
comment on column public.availability_rules.start_time is 'Time of day on the professional''s wall clock; slots begin here, and every slot_interval_minutes after it.';
comment on column public.availability_rules.end_time is 'Time of day on the professional''s wall clock, up to 24:00.';
comment on column public.availability_rules.created_at is 'When the row was made.';

create table public.availability_exceptions (
  id uuid primary key default gen_random_uuid(),
  professional_id uuid not null default auth.uid() references public.professionals (id) on delete cascade,
  during tstzrange not null,
  kind text not null,
  reason text,
  created_at timestamptz not null default now(),
  constraint availability_exceptions_kind_known check (kind in ('blocked', 'open')),
  constraint availability_exceptions_during_whole check (
    not isempty(during) and not lower_inf(during) and not upper_inf(during)
    and isfinite(lower(during)) and isfinite(upper(during)) and upper(during) - lower(during) <= interval '366 days'
  ),
  constraint availability_exceptions_reason_length check (length(reason) <= 300)
);
create index availability_exceptions_during_idx on public.availability_exceptions using gist (professional_id, during);
create index availability_exceptions_professional_id_idx on public.availability_exceptions (professional_id);
comment on table public.availability_exceptions is 'Times that differ from the weekly hours.';
comment on column public.availability_exceptions.id is 'Key.';
comment on column public.availability_exceptions.professional_id is 'Whose time.';
comment on column public.availability_exceptions.during is 'From when until when; at most 366 days.';
comment on column public.availability_exceptions.kind is 'blocked or open.';
comment on column public.availability_exceptions.reason is 'For the professional''s own memory; at most 300 characters.';
comment on column public.availability_exceptions.created_at is 'When the row was made.';

create table public.scheduling_preferences (
  professional_id uuid primary key default auth.uid() references public.professionals (id) on delete cascade,
  slot_interval_minutes integer not null default 30,
  min_notice_minutes integer not null default 60,
  horizon_days integer not null default 90,
  buffer_before_minutes integer not null default 0,
  buffer_after_minutes integer not null default 0,
  daily_limit integer,
  crisis_24_7 boolean not null default false,
  request_hold_hours integer not null default 48,
  created_at timestamptz not null default now(),
  constraint scheduling_preferences_slot_interval_range check (slot_interval_minutes between 5 and 240),
  constraint scheduling_preferences_min_notice_range check (min_notice_minutes between 0 and 43200),
  constraint scheduling_preferences_horizon_range check (horizon_days between 1 and 730),
  constraint scheduling_preferences_buffer_before_range check (buffer_before_minutes between 0 and 240),
  constraint scheduling_preferences_buffer_after_range check (buffer_after_minutes between 0 and 240),
  constraint scheduling_preferences_daily_limit_range check (daily_limit between 1 and 100),
  constraint scheduling_preferences_request_hold_range check (request_hold_hours between 1 and 720)
);
comment on table public.scheduling_preferences is 'How a professional wants to be booked. No row = the defaults of its columns.';
comment on column public.scheduling_preferences.professional_id is 'Whose preferences.';
comment on column public.scheduling_preferences.slot_interval_minutes is 'Minutes from one slot''s start to the next; 5 to 240.';
comment on column public.scheduling_preferences.min_notice_minutes is 'No slot begins sooner than this; at most 30 days.';
comment on column public.scheduling_preferences.horizon_days is 'No slot begins later than so many times 24 hours from now; 1 to 730.';
comment on column public.scheduling_preferences.buffer_before_minutes is 'Kept free before each session, beside the buffer after the one before it; 0 to 240.';
comment on column public.scheduling_preferences.buffer_after_minutes is 'Kept free after each session; 0 to 240.';
comment on column public.scheduling_preferences.daily_limit is 'Sessions on one local day, cancelled ones apart; null = no limit.';
comment on column public.scheduling_preferences.crisis_24_7 is 'Slots at any hour for survivors whose accepted case is urgent.';
comment on column public.scheduling_preferences.request_hold_hours is 'How long an unconfirmed request holds its time; 1 to 720.';
comment on column public.scheduling_preferences.created_at is 'When the row was made.';

create table public.appointment_types (
  id uuid primary key default gen_random_uuid(),
  professional_id uuid not null default auth.uid() references public.professionals (id) on delete cascade,
  name text not null,
  duration_minutes integer not null default 60,
  is_public boolean not null default true,
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  constraint appointment_types_name_clean check (private.is_clean_text(name, 60) and name ~ '[^[:space:]]'),
  constraint appointment_types_duration_range check (duration_minutes between 30 and 120),
  constraint appointment_types_once unique (professional_id, name)
);
comment on table public.appointment_types is 'The kinds of session that a professional offers. While some are public and active, visitors book those and no others.';
comment on column public.appointment_types.id is 'Key.';
comment on column public.appointment_types.professional_id is 'Who offers it.';
comment on column public.appointment_types.name is 'As shown to visitors; one line of at most 60 characters.';
comment on column public.appointment_types.duration_minutes is '30 to 120.';
comment on column public.appointment_types.is_public is 'Whether visitors may choose it.';
comment on column public.appointment_types.is_active is 'Whether it is offered at present.';
comment on column public.appointment_types.created_at is 'When it was made.';

create table public.appointment_clients (
  appointment_id uuid primary key references public.appointments (appointment_id) on delete cascade,
  client_name text not null,
  client_email text,
  client_phone text,
  emergency_contact_name text,
  emergency_contact_phone text,
  message text,
  locale text not null default 'en',
  time_zone text not null default 'UTC',
  created_at timestamptz not null default now(),
  constraint appointment_clients_name_plain check (private.is_plain_line(client_name, 120)),
  constraint appointment_clients_email_format check (private.is_mail_address(client_email)),
  constraint appointment_clients_phone_format check (client_phone ~ '^\+?[0-9 ()./-]{3,32}$'),
  constraint appointment_clients_emergency_name_plain check (private.is_plain_line(emergency_contact_name, 120)),
  constraint appointment_clients_emergency_phone_format check (emergency_contact_phone ~ '^\+?[0-9 ()./-]{3,32}$'),
  constraint appointment_clients_message_length check (length(message) <= 4000),
  constraint appointment_clients_locale_format check (locale ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$'),
  constraint appointment_clients_time_zone_known check (private.is_time_zone(time_zone))
);
comment on table public.appointment_clients is 'Who booked an appointment from outside: what they told about themselves. The professional alone reads it.';
comment on column public.appointment_clients.appointment_id is 'The booking.';
comment on column public.appointment_clients.client_name is 'One line of at most 120 characters, no angle brackets.';
comment on column public.appointment_clients.client_email is 'Where mail about the booking goes.';
comment on column public.appointment_clients.client_phone is 'At most 33 characters.';
comment on column public.appointment_clients.emergency_contact_name is 'One line of at most 120 characters.';
comment on column public.appointment_clients.emergency_contact_phone is 'At most 33 characters.';
comment on column public.appointment_clients.message is 'Plain text of at most 4000 characters, to be shown as text and never as HTML.';
comment on column public.appointment_clients.locale is 'BCP 47 language of mail.';
comment on column public.appointment_clients.time_zone is 'IANA zone in which times are shown to the client.';
comment on column public.appointment_clients.created_at is 'When the row was made.';

create table private.booking_tokens (
  appointment_id uuid primary key references public.appointments (appointment_id) on delete cascade,
  token_hash bytea not null unique check (length(token_hash) = 32),
  created_at timestamptz not null default now()
);
comment on table private.booking_tokens is 'What lets a visitor manage a booking. The token was shown once; only its hash is kept.';
comment on column private.booking_tokens.appointment_id is 'The booking.';
comment on column private.booking_tokens.token_hash is 'SHA-256 of the token.';
comment on column private.booking_tokens.created_at is 'When it was made.';

create table private.calendar_feeds (
  user_id uuid primary key references public.profiles (id) on delete cascade,
  token_hash bytea not null unique check (length(token_hash) = 32),
  created_at timestamptz not null default now()
);
comment on table private.calendar_feeds is 'Secret addresses of calendar subscriptions. The token was shown once; only its hash is kept.';
comment on column private.calendar_feeds.user_id is 'Whose appointments.';
comment on column private.calendar_feeds.token_hash is 'SHA-256 of the token.';
comment on column private.calendar_feeds.created_at is 'When it was made.';

create table private.booking_settings (
  id boolean primary key default true check (id),
  professional_hourly integer not null default 60 check (professional_hourly > 0),
  requester_hourly integer not null default 30 check (requester_hourly > 0),
  mail_daily integer not null default 20 check (mail_daily > 0),
  hash_key bytea not null default extensions.gen_random_bytes(32) check (length(hash_key) = 32),
  functions_url text check (length(functions_url) <= 300 and functions_url ~ '^https?://[^[:space:][:cntrl:]]+[^/[:space:]]$')
);
comment on table private.booking_settings is 'One row: the limits of public booking, and where the Edge Functions are.';
comment on column private.booking_settings.id is 'Always true, so that there is one row.';
comment on column private.booking_settings.professional_hourly is 'Bookings that one professional takes in an hour.';
comment on column private.booking_settings.requester_hourly is 'Bookings from one network address, or by one signed-in user, in an hour.';
comment on column private.booking_settings.mail_daily is 'Bookings with one mail address in a day, so that nobody''s inbox can be flooded through us.';
comment on column private.booking_settings.hash_key is 'Key of the hashes in private.booking_counters, drawn when the table is made.';
comment on column private.booking_settings.functions_url is 'Such as https://<project>.supabase.co/functions/v1; null = beside the Auth server that issued the caller''s token.';
insert into private.booking_settings default values;

create table private.booking_counters (
  key_hash bytea primary key check (length(key_hash) = 32),
  window_ends_at timestamptz not null,
  bookings integer not null
);
create index booking_counters_window_ends_at_idx on private.booking_counters (window_ends_at);
comment on table private.booking_counters is 'How many bookings a professional, requester or mail address has had in the present hour or day. Keyed hashes, so that the table names nobody; rows go when their window has ended.';
comment on column private.booking_counters.key_hash is 'HMAC-SHA-256 of what is counted.';
comment on column private.booking_counters.window_ends_at is 'When counting begins anew.';
comment on column private.booking_counters.bookings is 'How many so far.';

-- supabase/schemas/50_scheduling/add_to_calendar_links.sql
-- Either party puts an appointment into a calendar of their own by a link.
--
-- Called by either party; anybody else's appointment does not exist. Definer: the case code is in the report, which the
-- professional cannot read. Locks: none.

create or replace function private.add_to_calendar_links(appointment_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_appointment public.appointments;
begin
  select a.* into v_appointment
  from public.appointments as a
  where a.appointment_id = add_to_calendar_links.appointment_id and v_user_id in (a.professional_id, a.survivor_id);
  if not found then
    perform private.raise_error('not_found');
  end if;
  return private.calendar_links(v_appointment, private.case_code_for(v_appointment, v_user_id));
end;
$$;
comment on function private.add_to_calendar_links(uuid) is 'Definer: the case code is in the report. The caller must be a party of the appointment.';
revoke all on function private.add_to_calendar_links(uuid) from public, anon, authenticated, service_role;
grant execute on function private.add_to_calendar_links(uuid) to authenticated;

create or replace function public.add_to_calendar_links(appointment_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.add_to_calendar_links(appointment_id);
end;
$$;
comment on function public.add_to_calendar_links(uuid) is
  'Either party: neutral links that add the appointment to a calendar. → jsonb {google, outlook, office365, yahoo, ics}; ics is the calendar file as a data address. Errors: not_found.';
revoke all on function public.add_to_calendar_links(uuid) from public, anon, authenticated, service_role;
grant execute on function public.add_to_calendar_links(uuid) to anon, authenticated;

-- supabase/schemas/50_scheduling/available_slots.sql
-- The free slots of one professional, for whoever may book them.
--
-- Called by visitors when the professional takes public bookings, by the professional, and by a survivor whose case they
-- accepted; to everybody else the professional does not exist. Slots at which the caller is engaged elsewhere are left
-- out. Definer: others' hours and appointments are not readable, free slots are. Locks: none.

create or replace function private.available_slots(professional_id uuid, from_date date, to_date date, duration_minutes integer)
returns table (slot_start timestamptz, slot_end timestamptz)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
  v_is_own boolean := coalesce(professional_id = v_user_id, false);
begin
  if from_date is null or to_date is null or not isfinite(from_date) or not isfinite(to_date) or to_date < from_date
    or to_date - from_date > 91
  then
    perform private.raise_error('invalid_input', 'from_date, to_date: a window of 1 to 92 days.');
  elsif duration_minutes is null or duration_minutes not between 30 and 120 then
    perform private.raise_error('invalid_duration');
  end if;
  if not v_is_own
    and not exists (
      select 1
      from public.professionals as p
      where p.id = available_slots.professional_id and p.verification_status = 'verified' and p.is_public_booking
    )
    and not exists (
      select 1
      from public.reports as r
      join public.matched_services as m on m.report_id = r.report_id
      where r.user_id = v_user_id and m.professional_id = available_slots.professional_id and m.match_status_type = 'accepted'
    )
  then
    perform private.raise_error('not_found');
  end if;
  return query
  select distinct f.slot_start, f.slot_start + make_interval(mins => duration_minutes)
  from private.free_slots(
    array[professional_id], from_date, to_date, duration_minutes, case when not v_is_own then v_user_id end,
    v_user_id is not null and not v_is_own and private.is_crisis_case(professional_id, v_user_id)
  ) as f
  order by 1;
end;
$$;
comment on function private.available_slots(uuid, date, date, integer) is 'Definer: hours and appointments of others are not readable. Gives free slots to public bookers, the professional and survivors of accepted cases.';
revoke all on function private.available_slots(uuid, date, date, integer) from public, anon, authenticated, service_role;
grant execute on function private.available_slots(uuid, date, date, integer) to anon, authenticated, service_role;

create or replace function public.available_slots(
  professional_id uuid, from_date date, to_date date, duration_minutes integer default 60
)
returns table (slot_start timestamptz, slot_end timestamptz)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return query
  select s.slot_start, s.slot_end from private.available_slots(professional_id, from_date, to_date, duration_minutes) as s;
end;
$$;
comment on function public.available_slots(uuid, date, date, integer) is
  'Public bookers, the professional, a survivor with an accepted case: free slots on the professional''s local days from_date to to_date, at most 92 of them, in order. → slot_start, slot_end. Errors: not_found, invalid_input, invalid_duration.';
revoke all on function public.available_slots(uuid, date, date, integer) from public, anon, authenticated, service_role;
grant execute on function public.available_slots(uuid, date, date, integer) to anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/book_appointment.sql
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

-- supabase/schemas/50_scheduling/booking_by_token.sql
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

-- supabase/schemas/50_scheduling/booking_facts.sql
-- What a visitor sees of a booking: the time, the state, with whom. Nothing that the visitor wrote.
--
-- Called by booking_by_token, cancel_booking and reschedule_booking. Whoever finds the token in a browser's history learns
-- no name and no message. Locks: none.

create or replace function private.booking_facts(appointment public.appointments)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'appointment_id', appointment.appointment_id,
      'professional_id', p.id,
      'professional_title', p.professional_title,
      'starts_at', appointment.appointment_date,
      'ends_at', upper(private.appointment_during(appointment.appointment_date, appointment.duration_minutes)),
      'duration_minutes', appointment.duration_minutes,
      'appointment_type', appointment.appointment_type,
      'status', appointment.status,
      'held_until', appointment.held_until,
      'sequence', appointment.sequence,
      'time_zone', appointment.time_zone,
      'meeting_url', case appointment.status when 'confirmed' then appointment.meeting_url end,
      'location', case appointment.status when 'confirmed' then appointment.location end,
      'created_at', appointment.created_at,
      'revised_at', appointment.updated_at,
      'calendar_links', private.calendar_links(appointment, null)
    )
    from public.professionals as p
    where p.id = appointment.professional_id
  );
end;
$$;
comment on function private.booking_facts(public.appointments) is 'jsonb for the visitor''s page of one booking.';
revoke all on function private.booking_facts(public.appointments) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/booking_of_token.sql
-- The booking that a manage token opens, locked; a wrong token opens nothing.
--
-- Called by the functions with which a visitor changes a booking. Locks: the professional, the survivor, the appointment.

create or replace function private.booking_of_token(token text)
returns public.appointments
language plpgsql
volatile
security invoker
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
  perform 1 from public.professionals as p where p.id = v_appointment.professional_id for no key update;
  perform 1 from public.profiles as p where p.id = v_appointment.survivor_id for no key update;
  select a.* into v_appointment
  from public.appointments as a
  where a.appointment_id = v_appointment.appointment_id
  for no key update;
  return v_appointment;
end;
$$;
comment on function private.booking_of_token(text) is 'The booking of a manage token, locked; raises not_found.';
revoke all on function private.booking_of_token(text) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/calendar_document.sql
-- One appointment as an iCalendar object (RFC 5545, 5546), the same as the worker mails.
--
-- Called by calendar_links. One UID for life, the sequence of the row, times in UTC. Every value is made here and short,
-- so that nothing needs escaping or folding. Locks: none.

create or replace function private.calendar_document(appointment public.appointments, case_code text)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_basic constant text := 'YYYYMMDD"T"HH24MISS"Z"';
  v_is_cancelled boolean := appointment.status = 'cancelled';
begin
  return array_to_string(array[
    'BEGIN:VCALENDAR',
    'VERSION:2.0',
    'PRODID:-//Appointment//Appointment//EN',
    'METHOD:' || case when v_is_cancelled then 'CANCEL' else 'PUBLISH' end,
    'BEGIN:VEVENT',
    'UID:' || appointment.appointment_id || '@sauti',
    'SEQUENCE:' || appointment.sequence,
    'DTSTAMP:' || to_char(appointment.updated_at at time zone 'UTC', v_basic),
    'CREATED:' || to_char(appointment.created_at at time zone 'UTC', v_basic),
    'LAST-MODIFIED:' || to_char(appointment.updated_at at time zone 'UTC', v_basic),
    'DTSTART:' || to_char(appointment.appointment_date at time zone 'UTC', v_basic),
    'DTEND:' || to_char(
      (appointment.appointment_date + make_interval(mins => appointment.duration_minutes)) at time zone 'UTC', v_basic
    ),
    'STATUS:' || case appointment.status when 'requested' then 'TENTATIVE' when 'cancelled' then 'CANCELLED' else 'CONFIRMED' end,
    'CLASS:PRIVATE',
    'TRANSP:' || case when v_is_cancelled then 'TRANSPARENT' else 'OPAQUE' end,
    'SUMMARY:Appointment',
    'DESCRIPTION:' || case_code,
    'END:VEVENT',
    'END:VCALENDAR',
    ''
  ], E'\r\n');
end;
$$;
comment on function private.calendar_document(public.appointments, text) is 'The iCalendar text of one appointment, lines ended by CR LF.';
revoke all on function private.calendar_document(public.appointments, text) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/calendar_feed.sql
-- What a calendar subscription shows: the appointments of the person whose secret address it is.
--
-- Called by the Edge Function `calendar-feed`, which holds no session: the token is the key, and a wrong one opens nothing.
-- Cancelled appointments are there too, so that a calendar takes them out. Definer: feeds and others' case codes are
-- private. Locks: none.

create or replace function private.calendar_feed(token text)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_feed private.calendar_feeds;
begin
  select f.* into v_feed from private.calendar_feeds as f where f.token_hash = private.hash_token(token);
  if not found then
    perform private.raise_error('not_found');
  end if;
  return (
    select jsonb_build_object(
      'name', 'Appointments',
      'revised_at', coalesce(max(e.updated_at), v_feed.created_at),
      'events', coalesce(jsonb_agg(e.facts order by e.appointment_date), '[]'::jsonb)
    )
    from (
      select a.updated_at, a.appointment_date,
        private.appointment_facts(a) || jsonb_build_object('case_code', private.case_code_for(a, v_feed.user_id)) as facts
      from public.appointments as a
      where (a.professional_id = v_feed.user_id or a.survivor_id = v_feed.user_id)
        and a.appointment_date >= private.clock() - interval '90 days'
      order by a.appointment_date
      limit 1000
    ) as e
  );
end;
$$;
comment on function private.calendar_feed(text) is 'Definer: feeds are private. The caller must hold the feed''s token.';
revoke all on function private.calendar_feed(text) from public, anon, authenticated, service_role;
grant execute on function private.calendar_feed(text) to anon, service_role;

create or replace function public.calendar_feed(token text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return private.calendar_feed(token);
end;
$$;
comment on function public.calendar_feed(text) is
  'Edge Function: the appointments of the last 90 days and of the future, at most 1000, whose subscription this token is. → jsonb {name, revised_at, events: [{appointment_id, uid, starts_at, ends_at, duration_minutes, status, sequence, time_zone, meeting_url, location, case_code, created_at, revised_at}]}. Errors: not_found.';
revoke all on function public.calendar_feed(text) from public, anon, authenticated, service_role;
grant execute on function public.calendar_feed(text) to anon, service_role;

-- supabase/schemas/50_scheduling/calendar_links.sql
-- Addresses that put an appointment into a calendar program: neutral, like everything that leaves this place.
--
-- Called by add_to_calendar_links and booking_facts. Title, time and case code; no place and no meeting address, either of
-- which can tell what the appointment is for. `ics` is the calendar file itself, as a data address: a cancelled appointment
-- says so there, the other programs' links can only add. Locks: none.

create or replace function private.calendar_links(appointment public.appointments, case_code text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_ends_at timestamptz := appointment.appointment_date + make_interval(mins => appointment.duration_minutes);
  v_basic constant text := 'YYYYMMDD"T"HH24MISS"Z"';
  v_extended constant text := 'YYYY-MM-DD"T"HH24:MI:SS"Z"';
  v_from text := to_char(appointment.appointment_date at time zone 'UTC', v_basic);
  v_until text := to_char(v_ends_at at time zone 'UTC', v_basic);
  v_details text := private.percent_encode(coalesce(case_code, ''));
  v_outlook text := '/calendar/0/deeplink/compose?path=/calendar/action/compose&rru=addevent&subject=Appointment&startdt='
    || private.percent_encode(to_char(appointment.appointment_date at time zone 'UTC', v_extended))
    || '&enddt=' || private.percent_encode(to_char(v_ends_at at time zone 'UTC', v_extended)) || '&body=' || v_details;
begin
  return jsonb_build_object(
    'google', 'https://calendar.google.com/calendar/render?action=TEMPLATE&text=Appointment&dates=' || v_from || '/' || v_until
      || '&details=' || v_details,
    'outlook', 'https://outlook.live.com' || v_outlook,
    'office365', 'https://outlook.office.com' || v_outlook,
    'yahoo', 'https://calendar.yahoo.com/?v=60&TITLE=Appointment&ST=' || v_from || '&ET=' || v_until || '&DESC=' || v_details,
    'ics', 'data:text/calendar;charset=utf-8,' || private.percent_encode(private.calendar_document(appointment, case_code))
  );
end;
$$;
comment on function private.calendar_links(public.appointments, text) is 'jsonb {google, outlook, office365, yahoo, ics}.';
revoke all on function private.calendar_links(public.appointments, text) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/cancel_appointment.sql
-- Either party calls a live appointment off; the time is free at once.
--
-- Called by either party. Definer: appointments are not writable directly. Repeated, it changes nothing. Locks: the professional,
-- then the appointment.

create or replace function private.cancel_appointment(appointment_id uuid, reason text)
returns public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_appointment public.appointments;
begin
  if length(reason) > 500 then
    perform private.raise_error('invalid_input', 'reason: at most 500 characters');
  end if;
  v_appointment := private.own_appointment(appointment_id, false);
  if v_appointment.status <> 'cancelled' then
    update public.appointments as a
    set status = 'cancelled', cancel_reason = reason, cancelled_by = v_user_id
    where a.appointment_id = v_appointment.appointment_id
    returning a.* into v_appointment;
  end if;
  return v_appointment;
end;
$$;
comment on function private.cancel_appointment(uuid, text) is 'Definer: appointments are not writable directly. The caller must be one of its parties.';
revoke all on function private.cancel_appointment(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.cancel_appointment(uuid, text) to authenticated;

create or replace function public.cancel_appointment(appointment_id uuid, reason text default null)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.cancel_appointment(appointment_id, reason);
end;
$$;
comment on function public.cancel_appointment(uuid, text) is 'Either party: requested or confirmed → cancelled. reason of at most 500 characters. → the appointment. Errors: not_found, invalid_transition, invalid_input.';
revoke all on function public.cancel_appointment(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.cancel_appointment(uuid, text) to anon, authenticated;

-- supabase/schemas/50_scheduling/cancel_booking.sql
-- A visitor calls a booking off; the time is free at once.
--
-- Called by whoever has its manage token. Repeated, it changes nothing. Definer: visitors may write nothing. Locks: see
-- booking_of_token.

create or replace function private.cancel_booking(token text, reason text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_appointment public.appointments;
begin
  if length(reason) > 500 then
    perform private.raise_error('invalid_input', 'reason: at most 500 characters');
  end if;
  v_appointment := private.booking_of_token(token);
  if v_appointment.status <> 'cancelled' then
    update public.appointments as a
    set status = 'cancelled', cancel_reason = reason, cancelled_by = v_appointment.survivor_id
    where a.appointment_id = v_appointment.appointment_id
    returning a.* into v_appointment;
  end if;
  return private.booking_facts(v_appointment);
end;
$$;
comment on function private.cancel_booking(text, text) is 'Definer: visitors may write nothing. The caller must hold the booking''s token.';
revoke all on function private.cancel_booking(text, text) from public, anon, authenticated, service_role;
grant execute on function private.cancel_booking(text, text) to anon, authenticated, service_role;

create or replace function public.cancel_booking(token text, reason text default null)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return private.cancel_booking(token, reason);
end;
$$;
comment on function public.cancel_booking(text, text) is
  'Visitor: requested or confirmed → cancelled, with a reason of at most 500 characters. → jsonb as booking_by_token. Errors: not_found, invalid_transition, invalid_input.';
revoke all on function public.cancel_booking(text, text) from public, anon, authenticated, service_role;
grant execute on function public.cancel_booking(text, text) to anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/case_code_for.sql
-- The case code that one party may see beside an appointment.
--
-- Called by add_to_calendar_links and calendar_feed. The survivor always; the professional while the case is accepted or
-- completed, not once the report is withdrawn. Locks: none.

create or replace function private.case_code_for(appointment public.appointments, user_id uuid)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select r.case_code
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.id = appointment.matched_services
      and (r.user_id = case_code_for.user_id
        or (m.professional_id = case_code_for.user_id and m.match_status_type in ('accepted', 'completed')))
  );
end;
$$;
comment on function private.case_code_for(public.appointments, uuid) is 'The code, or null for none.';
revoke all on function private.case_code_for(public.appointments, uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/check_appointment_time.sql
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

-- supabase/schemas/50_scheduling/complete_appointment.sql
-- A professional records that the session was held.
--
-- Called by the professional. Definer: appointments are not writable directly. Repeated, it changes nothing. Locks: the professional,
-- then the appointment.

create or replace function private.complete_appointment(appointment_id uuid)
returns public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_appointment public.appointments;
begin
  perform private.require_user();
  v_appointment := private.own_appointment(appointment_id, true);
  if v_appointment.status <> 'completed' then
    update public.appointments as a
    set status = 'completed'
    where a.appointment_id = v_appointment.appointment_id
    returning a.* into v_appointment;
  end if;
  return v_appointment;
end;
$$;
comment on function private.complete_appointment(uuid) is 'Definer: appointments are not writable directly. The caller must be its professional.';
revoke all on function private.complete_appointment(uuid) from public, anon, authenticated, service_role;
grant execute on function private.complete_appointment(uuid) to authenticated;

create or replace function public.complete_appointment(appointment_id uuid)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.complete_appointment(appointment_id);
end;
$$;
comment on function public.complete_appointment(uuid) is 'Professional: confirmed → completed, whenever the session was held. → the appointment. Errors: not_found, invalid_transition.';
revoke all on function public.complete_appointment(uuid) from public, anon, authenticated, service_role;
grant execute on function public.complete_appointment(uuid) to anon, authenticated;

-- supabase/schemas/50_scheduling/confirm_appointment.sql
-- A professional confirms a requested appointment.
--
-- Called by the professional. Definer: appointments are not writable directly. Repeated, it changes nothing. Locks: the professional,
-- then the appointment.

create or replace function private.confirm_appointment(appointment_id uuid)
returns public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_appointment public.appointments;
begin
  perform private.require_user();
  v_appointment := private.own_appointment(appointment_id, true);
  if v_appointment.status <> 'confirmed' then
    update public.appointments as a
    set status = 'confirmed'
    where a.appointment_id = v_appointment.appointment_id
    returning a.* into v_appointment;
  end if;
  return v_appointment;
end;
$$;
comment on function private.confirm_appointment(uuid) is 'Definer: appointments are not writable directly. The caller must be its professional.';
revoke all on function private.confirm_appointment(uuid) from public, anon, authenticated, service_role;
grant execute on function private.confirm_appointment(uuid) to authenticated;

create or replace function public.confirm_appointment(appointment_id uuid)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.confirm_appointment(appointment_id);
end;
$$;
comment on function public.confirm_appointment(uuid) is 'Professional: requested → confirmed. → the appointment. Errors: not_found, invalid_transition.';
revoke all on function public.confirm_appointment(uuid) from public, anon, authenticated, service_role;
grant execute on function public.confirm_appointment(uuid) to anon, authenticated;

-- supabase/schemas/50_scheduling/count_booking.sql
-- Counts a booking against the professional, the requester and the mail address, and refuses one too many.
--
-- Called by book_appointment when nothing else stands in the way; what is refused rolls its counts back. The keys are
-- hashes under a secret, so that the table names nobody. Locks: the counters, in this order, after the professional.

create or replace function private.count_booking(professional_id uuid, user_id uuid, mail text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_settings private.booking_settings;
  v_requester text := coalesce('user:' || user_id, 'address:' || private.visitor_address());
  v_counted record;
  v_bookings integer;
begin
  select s.* into v_settings from private.booking_settings as s;
  for v_counted in
    select extensions.hmac(convert_to(c.name, 'UTF8'), v_settings.hash_key, 'sha256') as key_hash, c.most, c.span
    from (values
      (1, 'professional:' || professional_id, v_settings.professional_hourly, interval '1 hour'),
      (2, v_requester, v_settings.requester_hourly, interval '1 hour'),
      (3, 'mail:' || lower(mail), v_settings.mail_daily, interval '24 hours')
    ) as c (place, name, most, span)
    where c.name is not null
    order by c.place
  loop
    insert into private.booking_counters as b (key_hash, window_ends_at, bookings)
    values (v_counted.key_hash, private.clock() + v_counted.span, 1)
    on conflict (key_hash) do update
    set bookings = case when b.window_ends_at <= private.clock() then 1 else b.bookings + 1 end,
      window_ends_at = case when b.window_ends_at <= private.clock() then excluded.window_ends_at else b.window_ends_at end
    returning b.bookings into v_bookings;
    if v_bookings > v_counted.most then
      perform private.raise_error('too_many_requests');
    end if;
  end loop;
end;
$$;
comment on function private.count_booking(uuid, uuid, text) is 'Raises too_many_requests when a limit of private.booking_settings is passed.';
revoke all on function private.count_booking(uuid, uuid, text) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/enqueue_client_mail.sql
-- Queues the mail to the outside client of a public booking: ids and a template, never an address.
--
-- Called by the triggers of appointments and of their clients. One mail for each revision of the appointment. Whether it
-- may still go is decided when it is sent. Cal.com mails its own clients. Locks: none.

create or replace function private.enqueue_client_mail(appointment public.appointments, template text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, client_template, run_at)
  select 'mail', 'mail:client:' || c.appointment_id || ':' || appointment.sequence, 'mail:client:' || c.appointment_id,
    c.appointment_id, template, private.clock()
  from public.appointment_clients as c
  where c.appointment_id = appointment.appointment_id and c.client_email is not null
    and appointment.created_via = 'public_booking'
  on conflict (dedupe_key) do nothing;
end;
$$;
comment on function private.enqueue_client_mail(public.appointments, text) is 'A job of kind mail for the client of the appointment''s present sequence, if there is one.';
revoke all on function private.enqueue_client_mail(public.appointments, text) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/expand_recurrence.sql
-- The sessions of a recurrence rule (RFC 5545): FREQ DAILY, WEEKLY or MONTHLY with INTERVAL, BYDAY, BYMONTHDAY, WKST, and
-- COUNT or UNTIL.
--
-- Called by schedule_follow_up. The wall clock of the zone keeps its time over a change of the clocks. The first session
-- must itself be one of the rule, because RFC 5545 leaves open what else would happen. Pure but for the clock. Locks: none.

create or replace function private.expand_recurrence(rrule text, starts_at timestamptz, time_zone text)
returns timestamptz[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_text text := upper(regexp_replace(rrule, '^rrule:', '', 'i'));
  v_parts jsonb;
  v_first timestamp := starts_at at time zone time_zone;
  v_interval integer;
  v_count integer;
  v_until timestamp;
  v_week_begins integer;
  v_days text[];
  v_month_days integer[];
  v_times timestamptz[];
begin
  if length(rrule) > 300 or v_text !~ '^[A-Z]+=[A-Z0-9,+-]+(;[A-Z]+=[A-Z0-9,+-]+)*$' then
    perform private.raise_error('invalid_input', 'rrule: not a recurrence rule of RFC 5545.');
  end if;
  select jsonb_object_agg(split_part(p, '=', 1), split_part(p, '=', 2)) into v_parts
  from unnest(string_to_array(v_text, ';')) as p;
  if (select count(*) from unnest(string_to_array(v_text, ';'))) <> (select count(*) from jsonb_object_keys(v_parts)) then
    perform private.raise_error('invalid_input', 'rrule: a part is there twice.');
  elsif v_parts - array['FREQ', 'INTERVAL', 'BYDAY', 'BYMONTHDAY', 'WKST', 'COUNT', 'UNTIL'] <> '{}' then
    perform private.raise_error('invalid_input', 'rrule: only FREQ, INTERVAL, BYDAY, BYMONTHDAY, WKST, COUNT and UNTIL.');
  elsif coalesce(v_parts ->> 'FREQ', '') not in ('DAILY', 'WEEKLY', 'MONTHLY') then
    perform private.raise_error('invalid_input', 'rrule: FREQ is DAILY, WEEKLY or MONTHLY.');
  elsif (v_parts ? 'COUNT') = (v_parts ? 'UNTIL') then
    perform private.raise_error('invalid_input', 'rrule: either COUNT or UNTIL.');
  elsif coalesce(v_parts ->> 'INTERVAL', '1') !~ '^0*[1-9][0-9]{0,2}$' then
    perform private.raise_error('invalid_input', 'rrule: INTERVAL is 1 to 999.');
  elsif coalesce(v_parts ->> 'WKST', 'MO') !~ '^(MO|TU|WE|TH|FR|SA|SU)$' then
    perform private.raise_error('invalid_input', 'rrule: WKST is a day of the week.');
  elsif coalesce(v_parts ->> 'COUNT', '1') !~ '^0*([1-9]|[1-4][0-9]|5[0-2])$' then
    perform private.raise_error('invalid_input', 'rrule: COUNT is 1 to 52.');
  elsif coalesce(v_parts ->> 'UNTIL', '20200101') !~ '^[0-9]{8}(T([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]Z?)?$' then
    perform private.raise_error('invalid_input', 'rrule: UNTIL is a date or a date and time, such as 20270131T120000Z.');
  elsif coalesce(v_parts ->> 'BYDAY', 'MO') !~ '^([+-]?0?[1-5])?(MO|TU|WE|TH|FR|SA|SU)(,([+-]?0?[1-5])?(MO|TU|WE|TH|FR|SA|SU))*$'
    or (v_parts ->> 'FREQ' <> 'MONTHLY' and v_parts ->> 'BYDAY' ~ '[0-9]')
  then
    perform private.raise_error('invalid_input', 'rrule: BYDAY lists days of the week, with an ordinal for MONTHLY only.');
  elsif coalesce(v_parts ->> 'BYMONTHDAY', '1') !~ '^[+-]?0?([1-9]|[12][0-9]|3[01])(,[+-]?0?([1-9]|[12][0-9]|3[01]))*$'
    or (v_parts ? 'BYMONTHDAY' and v_parts ->> 'FREQ' = 'WEEKLY')
  then
    perform private.raise_error('invalid_input', 'rrule: BYMONTHDAY lists days from 1 to 31 or -31 to -1, and not for WEEKLY.');
  end if;
  v_interval := coalesce(v_parts ->> 'INTERVAL', '1')::integer;
  v_count := coalesce(v_parts ->> 'COUNT', '53')::integer;
  begin
    v_until := replace(v_parts ->> 'UNTIL', 'Z', '')::timestamp;
  exception
    when datetime_field_overflow then
      perform private.raise_error('invalid_input', 'rrule: UNTIL is no date of the calendar.');
  end;
  if v_until > (private.clock() at time zone 'UTC') + interval '2 years' then
    perform private.raise_error('invalid_input', 'rrule: UNTIL is more than two years ahead.');
  end if;
  v_week_begins := array_position(array['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'], coalesce(v_parts ->> 'WKST', 'MO')) - 1;
  -- What the rule does not say comes from its first session.
  v_days := coalesce(
    string_to_array(replace(v_parts ->> 'BYDAY', '+', ''), ','),
    case when v_parts ->> 'FREQ' = 'WEEKLY' then array[left(to_char(v_first, 'DY'), 2)] end
  );
  v_month_days := coalesce(
    string_to_array(v_parts ->> 'BYMONTHDAY', ',')::integer[],
    case when v_parts ->> 'FREQ' = 'MONTHLY' and not v_parts ? 'BYDAY' then array[extract(day from v_first)::integer] end
  );

  select array_agg(s.moment order by s.reading) into v_times
  from (
    select d.day + v_first::time as reading, private.first_instant_of(d.day + v_first::time, time_zone) as moment
    from (
      select c.day, to_char(c.day, 'DY') as name, extract(day from c.day)::integer as of_month,
        extract(day from date_trunc('month', c.day) + interval '1 month' - interval '1 day')::integer as month_length
      from (select v_first::date + n as day from generate_series(0, 800) as n) as c
    ) as d
    where case v_parts ->> 'FREQ'
        when 'DAILY' then (d.day - v_first::date) % v_interval = 0
        when 'WEEKLY' then (
          -- Day 0 of this count is a Monday.
          (d.day - date '2001-01-01' - v_week_begins + 7000000) / 7 - (v_first::date - date '2001-01-01' - v_week_begins + 7000000) / 7
        ) % v_interval = 0
        else (
          extract(year from d.day)::integer * 12 + extract(month from d.day)::integer
          - extract(year from v_first)::integer * 12 - extract(month from v_first)::integer
        ) % v_interval = 0
      end
      and (v_month_days is null or d.of_month = any (v_month_days) or d.of_month - d.month_length - 1 = any (v_month_days))
      and (v_days is null or exists (
        select 1
        from unnest(v_days) as by (day)
        where right(by.day, 2) = left(d.name, 2)
          and (length(by.day) = 2
            or left(by.day, -2)::integer in ((d.of_month + 6) / 7, -((d.month_length - d.of_month) / 7 + 1)))
      ))
    order by d.day
  ) as s
  where v_until is null or case
      when v_parts ->> 'UNTIL' ~ 'Z$' then s.moment at time zone 'UTC' <= v_until
      when v_parts ->> 'UNTIL' ~ 'T' then s.reading <= v_until
      else s.reading::date <= v_until::date
    end;
  v_times := v_times[1 : v_count];
  if v_times is null or v_times[1] at time zone time_zone <> v_first then
    perform private.raise_error('invalid_input', 'rrule: starts_at must be the first session of the rule.');
  elsif cardinality(v_times) > 52 then
    perform private.raise_error('invalid_input', 'rrule: at most 52 sessions.');
  elsif v_times[cardinality(v_times)] > private.clock() + interval '2 years' or (v_until is null and cardinality(v_times) < v_count)
  then
    perform private.raise_error('invalid_input', 'rrule: a session lies more than two years ahead.');
  end if;
  -- Of two moments with one reading the caller has named one.
  v_times[1] := starts_at;
  return v_times;
end;
$$;
comment on function private.expand_recurrence(text, timestamptz, text) is 'The moments of the sessions in order, at most 52; raises invalid_input and says what is wrong with the rule.';
revoke all on function private.expand_recurrence(text, timestamptz, text) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/expire_requests.sql
-- Requests that nobody confirmed in time are cancelled, and their time is free again.
--
-- Called by run_due_timers. Nobody cancelled them, so cancelled_by stays empty; the trigger tells both sides. Locks: the
-- appointments, skipping locked ones: whoever holds one is just deciding it.

create or replace function private.expire_requests(max_requests integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  with due as (
    select a.appointment_id
    from public.appointments as a
    where a.status = 'requested' and a.held_until <= private.clock()
    order by a.held_until
    limit max_requests
    for no key update skip locked
  ),
  expired as (
    update public.appointments as a
    set status = 'cancelled'
    from due
    where a.appointment_id = due.appointment_id
    returning a.appointment_id
  )
  select count(*) into v_count from expired;
  return v_count;
end;
$$;
comment on function private.expire_requests(integer) is 'Cancels at most max_requests requests whose hold has ended; gives their number.';
revoke all on function private.expire_requests(integer) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/first_instant_of.sql
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

-- supabase/schemas/50_scheduling/free_slots.sql
-- The one judge of when professionals can be booked: what is offered and what is accepted both come from here.
--
-- Called by available_slots and require_free_slot. A slot begins within working time, at an interval counted from where a
-- rule begins; the session lies whole in what blocked times, busy calendars and live appointments with their buffers leave
-- of it. `at_any_hour` lifts the hours, `despite_others` looks as if nothing were booked, a survivor's own appointments
-- count as taken, `moved_id` is not in its own way. Reads only. Locks: none.

create or replace function private.free_slots(
  professional_ids uuid[], from_date date, to_date date, duration_minutes integer, survivor_id uuid default null,
  at_any_hour boolean default false, moved_id uuid default null, despite_others boolean default false
)
returns table (professional_id uuid, slot_start timestamptz)
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_now timestamptz := private.clock();
  v_length interval := make_interval(mins => duration_minutes);
  -- Nothing is offered before now or beyond the widest horizon, so far dates cost nothing.
  v_from date := greatest(from_date, (v_now at time zone 'UTC')::date - 1);
  v_to date := least(to_date, (v_now at time zone 'UTC')::date + 732);
  -- Reaches over every local day in question, whatever the zone, and over the longest session and buffers beside it.
  v_begin timestamptz;
  v_end timestamptz;
begin
  if v_from > v_to then
    return;
  end if;
  v_begin := (v_from - 2)::timestamp at time zone 'UTC';
  v_end := (v_to + 4)::timestamp at time zone 'UTC';
  return query
  with asked as materialized (
    select p.id, p.time_zone, coalesce(s.slot_interval_minutes, 30) as step,
      tstzrange(
        w.earliest, greatest(w.earliest, v_now + make_interval(hours => 24 * coalesce(s.horizon_days, 90))),
        case when w.earliest <= v_now + make_interval(hours => 24 * coalesce(s.horizon_days, 90)) then '[]' else '()' end
      ) as bookable,
      make_interval(mins => coalesce(s.buffer_before_minutes, 0)) as before,
      make_interval(mins => coalesce(s.buffer_after_minutes, 0)) as after,
      coalesce(s.buffer_before_minutes, 0) + coalesce(s.buffer_after_minutes, 0) as both,
      s.daily_limit,
      exists (select 1 from public.availability_rules as r where r.professional_id = p.id) as has_rules
    from unnest(professional_ids) as wanted (id)
    join public.professionals as p on p.id = wanted.id
    left join public.scheduling_preferences as s on s.professional_id = p.id
    cross join lateral (
      select greatest(v_now + make_interval(mins => coalesce(s.min_notice_minutes, 60)), p.out_of_office_until) as earliest
    ) as w
  ),
  spans as materialized (
    select z.time_zone, s.starts_at, s.ends_at, s.day, s.weekday, s.minute_of_day,
      s.minute_of_day + (date_part('epoch', s.ends_at - s.starts_at)::integer / 60) as end_minute
    from (select distinct a.time_zone from asked as a) as z
    -- A session may run into the next day, which is the one after it where a zone leaves a day out.
    cross join lateral private.local_spans(z.time_zone, v_from, v_to + 2) as s
    where s.day between v_from and v_to + 2
  ),
  hours as materialized (
    select r.professional_id as id, r.weekday, date_part('epoch', r.start_time)::integer / 60 as start_minute,
      date_part('epoch', r.end_time)::integer / 60 as end_minute
    from public.availability_rules as r
    where r.professional_id = any (professional_ids)
    union all
    select a.id, d.weekday, 540, 1020
    from asked as a
    cross join unnest('{1,2,3,4,5}'::smallint[]) as d (weekday)
    where not a.has_rules
    union all
    select a.id, d.weekday, 0, 1440
    from asked as a
    cross join unnest('{1,2,3,4,5,6,7}'::smallint[]) as d (weekday)
    where at_any_hour
  ),
  full_days as materialized (
    select a.id, (b.appointment_date at time zone a.time_zone)::date as day
    from asked as a
    join public.appointments as b on b.professional_id = a.id
    where a.daily_limit is not null and b.status <> 'cancelled' and b.appointment_id is distinct from moved_id
      and b.appointment_date >= v_begin and b.appointment_date < v_end
    group by a.id, a.daily_limit, 2
    having count(*) >= a.daily_limit
  ),
  pieces as materialized (
    -- Where slots may begin, and from which moment their interval is counted.
    select a.id, s.day <= v_to and (a.id, s.day) not in (select d.id, d.day from full_days as d) as may_begin,
      s.starts_at + make_interval(mins => h.start_minute - s.minute_of_day) as counted_from,
      tstzrange(
        s.starts_at + make_interval(mins => greatest(h.start_minute - s.minute_of_day, 0)),
        s.starts_at + make_interval(mins => least(h.end_minute, s.end_minute) - s.minute_of_day)
      ) as during
    from asked as a
    join spans as s on s.time_zone = a.time_zone
    join hours as h on h.id = a.id and h.weekday = s.weekday
    where h.start_minute < s.end_minute and h.end_minute > s.minute_of_day
    union all
    select a.id, s.day <= v_to and (a.id, s.day) not in (select d.id, d.day from full_days as d),
      date_trunc('minute', lower(e.during) + interval '59.999999 seconds'),
      tstzrange(greatest(lower(e.during), s.starts_at), least(upper(e.during), s.ends_at))
    from asked as a
    join public.availability_exceptions as e
      on e.professional_id = a.id and e.kind = 'open' and e.during && tstzrange(v_begin, v_end)
    join spans as s on s.time_zone = a.time_zone and lower(e.during) < s.ends_at and upper(e.during) > s.starts_at
  ),
  working as (
    -- No session begins on a full day or after the last; one that began before may run into it.
    select p.id, range_agg(p.during) as during, array_agg(p.during) filter (where p.may_begin) as pieces,
      array_agg(p.counted_from) filter (where p.may_begin) as counted_from
    from pieces as p
    group by p.id
  ),
  taken as materialized (
    select t.id, range_agg(t.during) as during
    from (
      -- Its own buffers and those of the session that comes beside it.
      select a.id, tstzrange(
        b.appointment_date - make_interval(mins => a.both), b.appointment_date + make_interval(mins => b.duration_minutes + a.both)
      ) as during
      from asked as a
      cross join lateral (
        select l.appointment_date, l.duration_minutes
        from public.appointments as l
        where l.professional_id = a.id and l.appointment_date >= v_begin and l.appointment_date < v_end
          and l.status in ('requested', 'confirmed') and l.appointment_id is distinct from moved_id
        offset 0
      ) as b
      where not despite_others
      union all
      select a.id, tstzrange(lower(c.during) - a.after, upper(c.during) + a.before)
      from asked as a
      join public.calendar_busy as c on c.professional_id = a.id and c.during && tstzrange(v_begin, v_end)
      where not despite_others
      union all
      select a.id, tstzrange(b.appointment_date, b.appointment_date + make_interval(mins => b.duration_minutes))
      from public.appointments as b
      cross join asked as a
      where not despite_others and b.survivor_id = free_slots.survivor_id and b.status in ('requested', 'confirmed')
        and b.appointment_id is distinct from moved_id
        and b.appointment_date >= v_begin and b.appointment_date < v_end
      union all
      select e.professional_id, tstzrange(lower(e.during), upper(e.during))
      from public.availability_exceptions as e
      where e.professional_id = any (professional_ids) and e.kind = 'blocked' and e.during && tstzrange(v_begin, v_end)
    ) as t
    group by t.id
  )
  select g.id, generate_series(
    g.counted_from
      + make_interval(mins => g.step * ceil(date_part('epoch', lower(g.during) - g.counted_from) / 60 / g.step)::integer),
    case when upper_inc(g.during) then upper(g.during) else upper(g.during) - interval '1 microsecond' end,
    make_interval(mins => g.step)
  )
  from (
    select a.id, a.step, p.counted_from, unnest(b.during * tstzmultirange(p.during)) as during
    from working as w
    join asked as a on a.id = w.id
    left join taken as t on t.id = w.id
    cross join lateral (
      -- Every moment at which a session of this length could begin, on the interval or not.
      select tstzmultirange(a.bookable) * range_agg(tstzrange(lower(f.during), upper(f.during) - v_length, '[]')) as during
      from unnest(case when t.during is null then w.during else w.during - t.during end) as f (during)
      where upper(f.during) - lower(f.during) >= v_length
    ) as b
    cross join lateral unnest(w.pieces, w.counted_from) as p (during, counted_from)
  ) as g;
end;
$$;
comment on function private.free_slots(uuid[], date, date, integer, uuid, boolean, uuid, boolean) is 'Starts of the free slots of each professional on its own local days from_date to to_date; unordered, and twice where rules overlap.';
revoke all on function private.free_slots(uuid[], date, date, integer, uuid, boolean, uuid, boolean) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/hash_token.sql
-- What is kept of a secret token.
--
-- Called wherever a token is made or shown. A plain hash is enough: nobody can guess 256 random bits. Locks: none.

create or replace function private.hash_token(token text)
returns bytea
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return sha256(convert_to(token, 'UTF8'));
end;
$$;
comment on function private.hash_token(text) is 'SHA-256 of a token.';
revoke all on function private.hash_token(text) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/is_crisis_case.sql
-- Whether a survivor's case with a professional is urgent and the professional works around the clock for such cases.
--
-- Called by available_slots and reschedule_appointment to lift the working hours. Locks: none.

create or replace function private.is_crisis_case(professional_id uuid, survivor_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return exists (
    select 1
    from public.reports as r
    join public.matched_services as m on m.report_id = r.report_id
    join public.support_services as s on s.id = m.service_id
    left join public.scheduling_preferences as p on p.professional_id = m.professional_id
    where r.user_id = is_crisis_case.survivor_id and m.professional_id = is_crisis_case.professional_id
      and m.match_status_type = 'accepted' and m.urgency = 'high'
      and (s.crisis_24_7 or p.crisis_24_7)
  );
end;
$$;
comment on function private.is_crisis_case(uuid, uuid) is 'True when the survivor has an accepted urgent case with a professional of a 24/7 crisis service.';
revoke all on function private.is_crisis_case(uuid, uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/is_engaged.sql
-- Whether a professional has a live appointment at a time.
--
-- Called by make_appointment and by those who are to be refused early. What it sees can change until the professional is
-- locked; a yes is a good reason to refuse all the same. Locks: none.

create or replace function private.is_engaged(
  professional_id uuid, starts_at timestamptz, duration_minutes integer, moved_id uuid default null
)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return exists (
    select 1
    from public.appointments as a
    where a.professional_id = is_engaged.professional_id
      and a.status in ('requested', 'confirmed')
      and a.appointment_id is distinct from moved_id
      and private.appointment_during(a.appointment_date, a.duration_minutes)
        && private.appointment_during(is_engaged.starts_at, is_engaged.duration_minutes)
  );
end;
$$;
comment on function private.is_engaged(uuid, timestamptz, integer, uuid) is 'True when a requested or confirmed appointment overlaps the time; moved_id is not counted.';
revoke all on function private.is_engaged(uuid, timestamptz, integer, uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/local_spans.sql
-- The local days of a time zone, cut wherever the wall clock jumps.
--
-- Called by free_slots. Within a span clock and time run side by side, so that time of day is a plain sum there. Most
-- days are one span; a day on which the clock changes is searched by the hour and then by the minute, and a day that the
-- zone skips has none. Pure. Locks: none.

create or replace function private.local_spans(time_zone text, from_date date, to_date date)
returns table (starts_at timestamptz, ends_at timestamptz, day date, weekday smallint, minute_of_day integer)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_day record;
begin
  for v_day in
    select d.day, d.starts_at, d.ends_at,
      d.ends_at - d.starts_at = interval '24 hours'
        and d.starts_at at time zone local_spans.time_zone = d.day
        and (d.starts_at + interval '12 hours') at time zone local_spans.time_zone = d.day + interval '12 hours' as is_plain
    from (
      select c.day, c.day::timestamp at time zone local_spans.time_zone as starts_at,
        (c.day + 1)::timestamp at time zone local_spans.time_zone as ends_at
      -- The day before too: when a clock that is put back passes midnight twice, the first time lies in the day before.
      from (select from_date + n as day from generate_series(-1, to_date - from_date) as n) as c
    ) as d
  loop
    if v_day.is_plain and v_day.day >= from_date then
      starts_at := v_day.starts_at;
      ends_at := v_day.ends_at;
      day := v_day.day;
      weekday := extract(isodow from v_day.day);
      minute_of_day := 0;
      return next;
    elsif not v_day.is_plain and v_day.starts_at < v_day.ends_at then
      return query
      with hours as (
        select h.at, least(h.at + interval '1 hour', v_day.ends_at) as until
        from generate_series(v_day.starts_at, v_day.ends_at - interval '1 second', interval '1 hour') as h (at)
      ),
      marks as (
        select h.at from hours as h
        union all
        select m.at
        from hours as h
        cross join lateral generate_series(h.at + interval '1 minute', h.until - interval '1 second', interval '1 minute') as m (at)
        where (h.at at time zone local_spans.time_zone) + (h.until - h.at) <> h.until at time zone local_spans.time_zone
      ),
      readings as (
        select k.at, r.reading, r.reading - (k.at at time zone 'UTC') as utc_offset
        from marks as k
        cross join lateral (select k.at at time zone local_spans.time_zone as reading) as r
      ),
      cuts as (
        select r.at, r.reading,
          lag(r.utc_offset) over w is distinct from r.utc_offset
            or lag(r.reading::date) over w is distinct from r.reading::date as is_cut
        from readings as r
        window w as (order by r.at)
      )
      select c.at, lead(c.at, 1, v_day.ends_at) over (order by c.at), c.reading::date, extract(isodow from c.reading)::smallint,
        date_part('epoch', c.reading - date_trunc('day', c.reading))::integer / 60
      from cuts as c
      where c.is_cut;
    end if;
  end loop;
end;
$$;
comment on function private.local_spans(text, date, date) is 'Spans of constant offset, each of one local day; minute_of_day is what the wall clock shows at starts_at. Days from_date to to_date, and what a changed clock lets lie beside them.';
revoke all on function private.local_spans(text, date, date) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/make_appointment.sql
-- Inserts an appointment, or says slot_taken without telling by whom.
--
-- Called by acceptance, with both people locked. The first look finds a conflict without an error in the log; the
-- exclusion constraints are the backstop, and their message, which holds the other row's values, never leaves here.

create or replace function private.make_appointment(
  professional_id uuid, survivor_id uuid, match_id uuid, starts_at timestamptz, duration_minutes integer,
  appointment_type text, status public.appointment_status, created_via public.appointment_source
)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_appointment public.appointments;
begin
  if private.is_engaged(professional_id, starts_at, duration_minutes) or exists (
    select 1
    from public.appointments as a
    where a.survivor_id = make_appointment.survivor_id
      and a.status in ('requested', 'confirmed')
      and private.appointment_during(a.appointment_date, a.duration_minutes)
        && private.appointment_during(make_appointment.starts_at, make_appointment.duration_minutes)
  ) then
    perform private.raise_error('slot_taken');
  end if;
  insert into public.appointments (
    professional_id, survivor_id, matched_services, appointment_date, duration_minutes, appointment_type, status,
    created_via, time_zone, created_at, updated_at
  )
  select p.id, make_appointment.survivor_id, match_id, starts_at, make_appointment.duration_minutes,
    make_appointment.appointment_type, make_appointment.status, make_appointment.created_via, p.time_zone, v_now, v_now
  from public.professionals as p
  where p.id = make_appointment.professional_id
  returning * into v_appointment;
  return v_appointment;
exception
  when exclusion_violation or deadlock_detected then
    perform private.raise_error('slot_taken');
end;
$$;
comment on function private.make_appointment(uuid, uuid, uuid, timestamptz, integer, text, public.appointment_status, public.appointment_source)
  is 'Makes an appointment in the professional''s time zone; raises slot_taken.';
revoke all on function private.make_appointment(uuid, uuid, uuid, timestamptz, integer, text, public.appointment_status, public.appointment_source)
  from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/mark_no_show.sql
-- A professional records that nobody came.
--
-- Called by the professional. Definer: appointments are not writable directly. Repeated, it changes nothing. Locks: the professional,
-- then the appointment.

create or replace function private.mark_no_show(appointment_id uuid)
returns public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_appointment public.appointments;
begin
  perform private.require_user();
  v_appointment := private.own_appointment(appointment_id, true);
  if v_appointment.status <> 'no_show' then
    update public.appointments as a
    set status = 'no_show'
    where a.appointment_id = v_appointment.appointment_id
    returning a.* into v_appointment;
  end if;
  return v_appointment;
end;
$$;
comment on function private.mark_no_show(uuid) is 'Definer: appointments are not writable directly. The caller must be its professional.';
revoke all on function private.mark_no_show(uuid) from public, anon, authenticated, service_role;
grant execute on function private.mark_no_show(uuid) to authenticated;

create or replace function public.mark_no_show(appointment_id uuid)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.mark_no_show(appointment_id);
end;
$$;
comment on function public.mark_no_show(uuid) is 'Professional: confirmed → no_show. → the appointment. Errors: not_found, invalid_transition.';
revoke all on function public.mark_no_show(uuid) from public, anon, authenticated, service_role;
grant execute on function public.mark_no_show(uuid) to anon, authenticated;

-- supabase/schemas/50_scheduling/move_appointment.sql
-- Moves an appointment, or says slot_taken without telling by whom.
--
-- Called by reschedule_appointment and reschedule_booking, with the professional and the appointment locked. An appointment
-- that is already there is left alone, so a repeated call has no second effect. The exclusion constraints are the judge
-- of conflicts; their message, which holds the other row's values, never leaves here.

create or replace function private.move_appointment(
  appointment public.appointments, starts_at timestamptz, duration_minutes integer, status public.appointment_status
)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_appointment public.appointments;
begin
  update public.appointments as a
  set appointment_date = starts_at, duration_minutes = move_appointment.duration_minutes, status = move_appointment.status
  where a.appointment_id = appointment.appointment_id
  returning a.* into v_appointment;
  return v_appointment;
exception
  when exclusion_violation or deadlock_detected then
    perform private.raise_error('slot_taken');
end;
$$;
comment on function private.move_appointment(public.appointments, timestamptz, integer, public.appointment_status) is 'The appointment at its new time; raises slot_taken.';
revoke all on function private.move_appointment(public.appointments, timestamptz, integer, public.appointment_status) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/new_token.sql
-- A secret that opens one thing to whoever holds it: 256 random bits, as 43 letters, digits, - and _.
--
-- Called by book_appointment and rotate_calendar_feed, which show it once and keep its hash. Locks: none.

create or replace function private.new_token()
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return translate(encode(extensions.gen_random_bytes(32), 'base64'), '+/=', '-_');
end;
$$;
comment on function private.new_token() is 'A new secret token of 43 characters that need no encoding in an address.';
revoke all on function private.new_token() from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/own_appointment.sql
-- Locks an appointment of the caller, and gives it back as it is then.
--
-- Called by the functions that change one. `as_professional` asks for the professional's side. Another person's
-- appointment and a missing one are the same answer. Locks: the professional, the survivor, the appointment.

create or replace function private.own_appointment(appointment_id uuid, as_professional boolean)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_appointment public.appointments;
begin
  perform 1
  from public.professionals as p
  where p.id = (
    select a.professional_id
    from public.appointments as a
    where a.appointment_id = own_appointment.appointment_id
      and (a.professional_id = v_user_id or (not as_professional and a.survivor_id = v_user_id))
  )
  for no key update;
  -- The survivor after the professional, as everywhere: two moves of one survivor must not wait for each other's row.
  perform 1
  from public.profiles as p
  where p.id = (
    select a.survivor_id
    from public.appointments as a
    where a.appointment_id = own_appointment.appointment_id
      and (a.professional_id = v_user_id or (not as_professional and a.survivor_id = v_user_id))
  )
  for no key update;
  select a.* into v_appointment
  from public.appointments as a
  where a.appointment_id = own_appointment.appointment_id
    and (a.professional_id = v_user_id or (not as_professional and a.survivor_id = v_user_id))
  for no key update;
  if not found then
    perform private.raise_error('not_found');
  end if;
  return v_appointment;
end;
$$;
comment on function private.own_appointment(uuid, boolean) is 'The caller''s appointment, locked; raises not_found.';
revoke all on function private.own_appointment(uuid, boolean) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/percent_encode.sql
-- Encodes a text for the query of an address (RFC 3986): everything but letters, digits and - . _ ~.
--
-- Called by calendar_links. Pure. Locks: none.

create or replace function private.percent_encode(value text)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_bytes bytea := convert_to(value, 'UTF8');
begin
  return (
    select coalesce(string_agg(
      case
        when chr(b.octet) ~ '^[A-Za-z0-9._~-]$' then chr(b.octet)
        else '%' || upper(lpad(to_hex(b.octet), 2, '0'))
      end,
      '' order by b.place
    ), '')
    from (select i as place, get_byte(v_bytes, i) as octet from generate_series(0, length(v_bytes) - 1) as i) as b
  );
end;
$$;
comment on function private.percent_encode(text) is 'The text''s UTF-8 octets, percent-encoded; null for null.';
revoke all on function private.percent_encode(text) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/read_client.sql
-- Reads what a visitor tells about themselves, and says which field is wrong.
--
-- Called by book_appointment before it looks at anything else, so that a bad form costs nothing and tells nothing. Only
-- known fields, only text, nothing longer than its column. Locks: none.

create or replace function private.read_client(client jsonb, is_mail_optional boolean)
returns public.appointment_clients
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_client public.appointment_clients;
  v_fields constant text[] := array[
    'client_name', 'client_email', 'client_phone', 'emergency_contact_name', 'emergency_contact_phone', 'message', 'locale', 'time_zone'
  ];
begin
  if client is null or jsonb_typeof(client) <> 'object' or octet_length(client::text) > 32768 then
    perform private.raise_error('invalid_input', 'client: an object of at most 32 kB.');
  elsif client - v_fields <> '{}' then
    perform private.raise_error('invalid_input', 'client: only ' || array_to_string(v_fields, ', ') || '.');
  elsif exists (select 1 from jsonb_each(client) as f where jsonb_typeof(f.value) not in ('string', 'null')) then
    perform private.raise_error('invalid_input', 'client: each field is text or null.');
  end if;
  v_client.client_name := btrim(client ->> 'client_name');
  v_client.client_email := nullif(btrim(client ->> 'client_email'), '');
  v_client.client_phone := nullif(btrim(client ->> 'client_phone'), '');
  v_client.emergency_contact_name := nullif(btrim(client ->> 'emergency_contact_name'), '');
  v_client.emergency_contact_phone := nullif(btrim(client ->> 'emergency_contact_phone'), '');
  v_client.message := nullif(client ->> 'message', '');
  v_client.locale := coalesce(nullif(client ->> 'locale', ''), 'en');
  v_client.time_zone := coalesce(nullif(client ->> 'time_zone', ''), 'UTC');
  perform private.raise_error('invalid_input', case f.field
    when 'client_name' then 'client_name: one line of 1 to 120 characters without < and >.'
    when 'client_email' then 'client_email: one mail address.'
    when 'client_phone' then 'client_phone: 3 to 32 digits, spaces and ()./-, with + in front or not.'
    when 'emergency_contact_name' then 'emergency_contact_name: one line of 1 to 120 characters without < and >.'
    when 'emergency_contact_phone' then 'emergency_contact_phone: 3 to 32 digits, spaces and ()./-, with + in front or not.'
    when 'message' then 'message: at most 4000 characters, no control characters but line breaks and tabs.'
    when 'locale' then 'locale: a language such as en or pt-BR.'
    else 'time_zone: an IANA zone such as Africa/Nairobi.'
  end)
  from (values
    (1, 'client_name', v_client.client_name is not null and private.is_plain_line(v_client.client_name, 120)),
    (2, 'client_email', coalesce(private.is_mail_address(v_client.client_email), is_mail_optional)),
    (3, 'client_phone', v_client.client_phone ~ '^\+?[0-9 ()./-]{3,32}$'),
    (4, 'emergency_contact_name', private.is_plain_line(v_client.emergency_contact_name, 120)),
    (5, 'emergency_contact_phone', v_client.emergency_contact_phone ~ '^\+?[0-9 ()./-]{3,32}$'),
    (6, 'message', length(v_client.message) <= 4000 and v_client.message !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]'),
    (7, 'locale', v_client.locale ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$'),
    (8, 'time_zone', private.is_time_zone(v_client.time_zone))
  ) as f (place, field, is_right)
  where not f.is_right
  order by f.place
  limit 1;
  return v_client;
end;
$$;
comment on function private.read_client(jsonb, boolean) is 'The fields of public.appointment_clients from {client_name, client_email, client_phone, emergency_contact_name, emergency_contact_phone, message, locale, time_zone}; raises invalid_input.';
revoke all on function private.read_client(jsonb, boolean) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/require_free_slot.sql
-- Refuses a time that is not among the slots that free_slots would offer now.
--
-- Called by book_appointment and by rescheduling, with the professional locked, so that what is free stays free until the
-- end of the transaction. Somebody else's time is slot_taken, anything else outside_availability. Locks: none.

create or replace function private.require_free_slot(
  professional_id uuid, starts_at timestamptz, duration_minutes integer, survivor_id uuid default null,
  at_any_hour boolean default false, moved_id uuid default null
)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_day date := (
    select (require_free_slot.starts_at at time zone p.time_zone)::date
    from public.professionals as p
    where p.id = require_free_slot.professional_id
  );
begin
  -- The cheap look first: of a rush on one slot all but one are refused, and for them it is enough.
  if not private.is_engaged(professional_id, starts_at, duration_minutes, moved_id) and exists (
    select 1
    from private.free_slots(array[professional_id], v_day, v_day, duration_minutes, survivor_id, at_any_hour, moved_id) as f
    where f.slot_start = starts_at
  ) then
    return;
  end if;
  perform private.raise_error(case when exists (
    select 1
    from private.free_slots(array[professional_id], v_day, v_day, duration_minutes, survivor_id, at_any_hour, moved_id, true) as f
    where f.slot_start = starts_at
  ) then 'slot_taken' else 'outside_availability' end);
end;
$$;
comment on function private.require_free_slot(uuid, timestamptz, integer, uuid, boolean, uuid) is 'Raises slot_taken or outside_availability unless the slot is free.';
revoke all on function private.require_free_slot(uuid, timestamptz, integer, uuid, boolean, uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/reschedule_appointment.sql
-- Either party moves a live appointment.
--
-- Called by the professional, who may choose any time and keeps it confirmed, and by the survivor, who may choose a free
-- slot and asks anew. Repeated, it changes nothing. Definer: appointments are not writable directly. Locks: the
-- professional, the survivor, the appointment.

create or replace function private.reschedule_appointment(appointment_id uuid, starts_at timestamptz, duration_minutes integer)
returns public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_appointment public.appointments;
  v_minutes integer;
  v_by_professional boolean;
begin
  v_appointment := private.own_appointment(appointment_id, false);
  v_minutes := coalesce(reschedule_appointment.duration_minutes, v_appointment.duration_minutes);
  v_by_professional := v_appointment.professional_id = v_user_id;
  perform private.check_appointment_time(starts_at, v_minutes, v_appointment.appointment_type);
  if v_appointment.status not in ('requested', 'confirmed') then
    perform private.raise_error(
      'invalid_transition', format('An appointment that is %s cannot be moved.', v_appointment.status)
    );
  elsif v_appointment.appointment_date = starts_at and v_appointment.duration_minutes = v_minutes then
    return v_appointment;
  elsif v_by_professional then
    return private.move_appointment(v_appointment, starts_at, v_minutes, v_appointment.status);
  elsif v_appointment.appointment_date <= private.clock() then
    perform private.raise_error('invalid_transition', 'An appointment that has begun cannot be moved.');
  end if;
  perform private.require_free_slot(
    v_appointment.professional_id, starts_at, v_minutes, v_user_id,
    private.is_crisis_case(v_appointment.professional_id, v_user_id), v_appointment.appointment_id
  );
  return private.move_appointment(v_appointment, starts_at, v_minutes, 'requested');
end;
$$;
comment on function private.reschedule_appointment(uuid, timestamptz, integer) is 'Definer: appointments are not writable directly. The caller must be one of its parties.';
revoke all on function private.reschedule_appointment(uuid, timestamptz, integer) from public, anon, authenticated, service_role;
grant execute on function private.reschedule_appointment(uuid, timestamptz, integer) to authenticated;

create or replace function public.reschedule_appointment(
  appointment_id uuid, starts_at timestamptz, duration_minutes integer default null
)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.reschedule_appointment(appointment_id, starts_at, duration_minutes);
end;
$$;
comment on function public.reschedule_appointment(uuid, timestamptz, integer) is
  'Either party: moves a requested or confirmed appointment, by default at its present length. The professional to any time, its status stays; the survivor to a free slot, and it is requested again. → the appointment. Errors: not_found, invalid_input, in_the_past, invalid_duration, invalid_transition, slot_taken, outside_availability.';
revoke all on function public.reschedule_appointment(uuid, timestamptz, integer) from public, anon, authenticated, service_role;
grant execute on function public.reschedule_appointment(uuid, timestamptz, integer) to anon, authenticated;

-- supabase/schemas/50_scheduling/reschedule_booking.sql
-- A visitor moves a booking to another free slot, and asks anew.
--
-- Called by whoever has its manage token. Repeated, it changes nothing. Definer: visitors may write nothing. Locks: see
-- booking_of_token.

create or replace function private.reschedule_booking(token text, starts_at timestamptz)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_appointment public.appointments := private.booking_of_token(token);
begin
  perform private.check_appointment_time(starts_at, v_appointment.duration_minutes, v_appointment.appointment_type);
  if v_appointment.status not in ('requested', 'confirmed') then
    perform private.raise_error('invalid_transition', format('A booking that is %s cannot be moved.', v_appointment.status));
  elsif v_appointment.appointment_date <= private.clock() then
    perform private.raise_error('invalid_transition', 'A booking that has begun cannot be moved.');
  elsif v_appointment.appointment_date <> starts_at then
    perform private.require_free_slot(
      v_appointment.professional_id, starts_at, v_appointment.duration_minutes, v_appointment.survivor_id,
      moved_id => v_appointment.appointment_id
    );
    v_appointment := private.move_appointment(v_appointment, starts_at, v_appointment.duration_minutes, 'requested');
  end if;
  return private.booking_facts(v_appointment);
end;
$$;
comment on function private.reschedule_booking(text, timestamptz) is 'Definer: visitors may write nothing. The caller must hold the booking''s token.';
revoke all on function private.reschedule_booking(text, timestamptz) from public, anon, authenticated, service_role;
grant execute on function private.reschedule_booking(text, timestamptz) to anon, authenticated, service_role;

create or replace function public.reschedule_booking(token text, starts_at timestamptz)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return private.reschedule_booking(token, starts_at);
end;
$$;
comment on function public.reschedule_booking(text, timestamptz) is
  'Visitor: moves a booking to a free slot; it is requested again. → jsonb as booking_by_token. Errors: not_found, invalid_input, in_the_past, invalid_transition, slot_taken, outside_availability.';
revoke all on function public.reschedule_booking(text, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.reschedule_booking(text, timestamptz) to anon, authenticated, service_role;

-- supabase/schemas/50_scheduling/rotate_calendar_feed.sql
-- A person draws a new secret address for subscribing to the own appointments; the old one is dead.
--
-- Called by any user. The address stands beside the Auth server that issued the caller's token, unless the settings name
-- another: neither is anything that a request could forge. Definer: feeds are private. Locks: the feed.

create or replace function private.rotate_calendar_feed()
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_token text := private.new_token();
begin
  insert into private.calendar_feeds as f (user_id, token_hash, created_at)
  select p.id, private.hash_token(v_token), private.clock() from public.profiles as p where p.id = v_user_id
  on conflict (user_id) do update set token_hash = excluded.token_hash, created_at = excluded.created_at;
  if not found then
    perform private.raise_error('not_found');
  end if;
  return coalesce(
    (select s.functions_url from private.booking_settings as s),
    regexp_replace(auth.jwt() ->> 'iss', '/auth/v1/?$', '/functions/v1'),
    '/functions/v1'
  ) || '/calendar-feed/' || v_token || '.ics';
end;
$$;
comment on function private.rotate_calendar_feed() is 'Definer: feeds are private. Any signed-in user, for the own appointments.';
revoke all on function private.rotate_calendar_feed() from public, anon, authenticated, service_role;
grant execute on function private.rotate_calendar_feed() to authenticated;

create or replace function public.rotate_calendar_feed()
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.rotate_calendar_feed();
end;
$$;
comment on function public.rotate_calendar_feed() is
  'Any user: a new secret ICS subscription of the own appointments; the one before stops working. → its address, shown this once.';
revoke all on function public.rotate_calendar_feed() from public, anon, authenticated, service_role;
grant execute on function public.rotate_calendar_feed() to anon, authenticated;

-- supabase/schemas/50_scheduling/schedule_follow_up.sql
-- A professional goes on with an accepted case: one more session, or a series of them, all or none.
--
-- Called by the professional, who may choose any time. A series keeps its time on the professional's wall clock. When a
-- session clashes, nothing is made and the details name every clash by its time. The same call repeated gives back the
-- same sessions. Definer: appointments are not writable directly. Locks: see lock_match.

create or replace function private.schedule_follow_up(
  match_id uuid, starts_at timestamptz, duration_minutes integer, appointment_type text, rrule text
)
returns setof public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_locked record;
  v_survivor_id uuid;
  v_professional public.professionals;
  v_times timestamptz[];
  v_clashes text;
  v_series_id uuid := case when rrule is not null then gen_random_uuid() end;
begin
  -- The survivor of a foreign offer must not be locked, and its existence not be told.
  if not exists (
    select 1 from public.matched_services as m where m.id = schedule_follow_up.match_id and m.professional_id = v_user_id
  ) then
    perform private.raise_error('not_found');
  end if;
  perform private.check_appointment_time(starts_at, duration_minutes, appointment_type);
  select p.* into v_professional from public.professionals as p where p.id = v_user_id;
  v_times := case
    when rrule is null then array[starts_at]
    else private.expand_recurrence(rrule, starts_at, v_professional.time_zone)
  end;

  select * into v_locked from private.lock_match(match_id);
  v_survivor_id := (v_locked.report).user_id;
  if (v_locked.report).status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_professional.verification_status <> 'verified' then
    perform private.raise_error('not_verified');
  elsif (v_locked.match).match_status_type <> 'accepted' then
    perform private.raise_error('case_not_open');
  end if;

  -- What this call would make is there already: it is a repetition.
  return query
  select a.*
  from public.appointments as a
  where a.matched_services = schedule_follow_up.match_id and a.created_via = 'follow_up' and a.status in ('requested', 'confirmed')
    and a.appointment_date = any (v_times) and a.duration_minutes = schedule_follow_up.duration_minutes
    and cardinality(v_times) = (
      select count(*)
      from public.appointments as b
      where b.matched_services = a.matched_services and b.created_via = a.created_via and b.status in ('requested', 'confirmed')
        and b.appointment_date = any (v_times) and b.duration_minutes = a.duration_minutes
        and b.series_id is not distinct from a.series_id
    )
  order by a.appointment_date;
  if found then
    return;
  end if;

  select string_agg(to_char(t.moment at time zone v_professional.time_zone, 'YYYY-MM-DD HH24:MI'), ', ' order by t.moment)
  into v_clashes
  from unnest(v_times) as t (moment)
  where private.is_engaged(v_user_id, t.moment, schedule_follow_up.duration_minutes) or exists (
    select 1
    from public.appointments as a
    where a.survivor_id = v_survivor_id and a.status in ('requested', 'confirmed')
      and private.appointment_during(a.appointment_date, a.duration_minutes)
        && private.appointment_during(t.moment, schedule_follow_up.duration_minutes)
  );
  if v_clashes is not null then
    perform private.raise_error(
      'slot_taken', format('Another appointment holds: %s (%s).', v_clashes, v_professional.time_zone)
    );
  end if;

  begin
    return query
    insert into public.appointments (
      professional_id, survivor_id, matched_services, appointment_date, duration_minutes, appointment_type, status, created_via,
      series_id, time_zone, updated_at
    )
    select v_user_id, v_survivor_id, schedule_follow_up.match_id, t.moment, schedule_follow_up.duration_minutes,
      schedule_follow_up.appointment_type, 'confirmed', 'follow_up', v_series_id, v_professional.time_zone, private.clock()
    from unnest(v_times) with ordinality as t (moment, place)
    order by t.place
    returning *;
  exception
    when exclusion_violation or deadlock_detected then
      perform private.raise_error('slot_taken');
  end;
end;
$$;
comment on function private.schedule_follow_up(uuid, timestamptz, integer, text, text) is 'Definer: appointments are not writable directly. The caller must be the professional of the accepted offer.';
revoke all on function private.schedule_follow_up(uuid, timestamptz, integer, text, text) from public, anon, authenticated, service_role;
grant execute on function private.schedule_follow_up(uuid, timestamptz, integer, text, text) to authenticated;

create or replace function public.schedule_follow_up(
  match_id uuid, starts_at timestamptz, duration_minutes integer default 60, appointment_type text default 'follow_up',
  rrule text default null
)
returns setof public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return query select * from private.schedule_follow_up(match_id, starts_at, duration_minutes, appointment_type, rrule);
end;
$$;
comment on function public.schedule_follow_up(uuid, timestamptz, integer, text, text) is
  'Professional: one more session of an accepted case at any time, or a series by an RFC 5545 rule (FREQ DAILY, WEEKLY or MONTHLY; INTERVAL, BYDAY, BYMONTHDAY, WKST; COUNT or UNTIL; at most 52): all or none. → the appointments in order. Errors: not_found, invalid_input, in_the_past, invalid_duration, case_not_open, report_withdrawn, not_verified, slot_taken (the details name each clash).';
revoke all on function public.schedule_follow_up(uuid, timestamptz, integer, text, text) from public, anon, authenticated, service_role;
grant execute on function public.schedule_follow_up(uuid, timestamptz, integer, text, text) to anon, authenticated;

-- supabase/schemas/50_scheduling/tg_appointment_clients__mail.sql
-- A visitor who books hears that the request has arrived.
--
-- Called by: insert on public.appointment_clients, which follows that of the appointment. Definer: it writes the outbox.

create or replace function private.tg_appointment_clients__mail()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.enqueue_client_mail(a, 'appointment_' || a.status)
  from public.appointments as a
  where a.appointment_id = new.appointment_id and a.status in ('requested', 'confirmed');
  return null;
end;
$$;
comment on function private.tg_appointment_clients__mail() is 'Definer: the outbox is private. Queues the first mail to the client.';
revoke all on function private.tg_appointment_clients__mail() from public, anon, authenticated, service_role;

create trigger _900_mail
after insert on public.appointment_clients
for each row execute function private.tg_appointment_clients__mail();

-- supabase/schemas/50_scheduling/tg_appointments__guard_transition.sql
-- Only the transitions of docs/states.md, whoever writes; and the sequence rises with each change a calendar must know.
--
-- Called by: update on public.appointments. Locks: none.

create or replace function private.tg_appointments__guard_transition()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if new.status <> old.status and (old.status, new.status) not in (
    ('requested', 'confirmed'), ('requested', 'cancelled'),
    ('confirmed', 'requested'), ('confirmed', 'cancelled'), ('confirmed', 'completed'), ('confirmed', 'no_show')
  ) then
    perform private.raise_error(
      'invalid_transition', format('An appointment that is %s cannot become %s.', old.status, new.status)
    );
  end if;
  if (new.status <> old.status and new.status in ('requested', 'confirmed', 'cancelled'))
    or new.appointment_date <> old.appointment_date
    or new.duration_minutes <> old.duration_minutes
    or new.meeting_url is distinct from old.meeting_url
    or new.location is distinct from old.location
  then
    new.sequence := old.sequence + 1;
  end if;
  new.updated_at := private.clock();
  return new;
end;
$$;
comment on function private.tg_appointments__guard_transition() is 'Raises invalid_transition; raises the sequence (RFC 5546) and updated_at.';
revoke all on function private.tg_appointments__guard_transition() from public, anon, authenticated, service_role;

create trigger _100_guard_transition
before update on public.appointments
for each row execute function private.tg_appointments__guard_transition();

-- supabase/schemas/50_scheduling/tg_appointments__hold_request.sql
-- A request holds its time for as long as its professional allows, and no longer than until it would begin.
--
-- Called by: insert and update on public.appointments. Bookings of Cal.com wait there, not here. Locks: none.

create or replace function private.tg_appointments__hold_request()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  new.held_until := case when new.status = 'requested' and new.created_via <> 'cal_com' then least(
    private.clock() + make_interval(hours => coalesce(
      (select s.request_hold_hours from public.scheduling_preferences as s where s.professional_id = new.professional_id), 48
    )),
    new.appointment_date
  ) end;
  return new;
end;
$$;
comment on function private.tg_appointments__hold_request() is 'Sets held_until when an appointment becomes a request or a request is moved; else clears it.';
revoke all on function private.tg_appointments__hold_request() from public, anon, authenticated, service_role;

create trigger _200_hold_request
before insert or update of status, appointment_date on public.appointments
for each row
when (new.status = 'requested' or new.held_until is not null)
execute function private.tg_appointments__hold_request();

-- supabase/schemas/50_scheduling/tg_appointments__notify.sql
-- What happens to an appointment reaches both people: live event, notification, calendar and mail jobs, in the same
-- transaction.
--
-- Called by: insert and update on public.appointments. Definer: it writes for both parties and into the outbox.

create or replace function private.tg_appointments__notify()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_kind text := case
    when tg_op = 'INSERT' then case new.status
      when 'confirmed' then 'appointment_confirmed'
      when 'requested' then 'appointment_requested'
    end
    when new.status = 'cancelled' and old.status <> 'cancelled' then 'appointment_cancelled'
    when new.status = 'confirmed' and old.status = 'requested' then 'appointment_confirmed'
    when new.status in ('requested', 'confirmed') and new.sequence > old.sequence then 'appointment_changed'
  end;
begin
  perform private.broadcast(party.id, 'appointment', tg_op, 'appointments', new.appointment_id, new.status::text)
  from unnest(array[new.professional_id, new.survivor_id]) as party (id)
  where party.id is not null;
  if v_kind is not null then
    perform private.notify(
      array[new.professional_id, new.survivor_id], v_kind, match_id => new.matched_services, appointment_id => new.appointment_id
    );
    perform private.enqueue_calendar_jobs(new);
    if new.created_via = 'public_booking' then
      perform private.enqueue_client_mail(new, v_kind);
    end if;
  end if;
  return null;
end;
$$;
comment on function private.tg_appointments__notify() is 'Definer: writes live events, notifications and jobs for both parties.';
revoke all on function private.tg_appointments__notify() from public, anon, authenticated, service_role;

create trigger _900_notify_insert
after insert on public.appointments
for each row execute function private.tg_appointments__notify();

create trigger _900_notify_update
after update on public.appointments
for each row
when (old.status <> new.status or old.sequence <> new.sequence)
execute function private.tg_appointments__notify();

-- supabase/schemas/50_scheduling/visitor_address.sql
-- The network address of the visitor behind this request, as far as it can be trusted.
--
-- Called by count_booking. The Edge Function, which alone holds the service key, names the visitor in a header of ours;
-- else the platform's edge does (cf-connecting-ip), else the nearest proxy, whose entry is the last one of
-- x-forwarded-for: what stands before it was written by the caller. Null outside a request. Locks: none.

create or replace function private.visitor_address()
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_headers jsonb := nullif(current_setting('request.headers', true), '')::jsonb;
begin
  return nullif(btrim(case
    when auth.role() = 'service_role' then v_headers ->> 'x-sauti-visitor-address'
    else coalesce(v_headers ->> 'cf-connecting-ip', split_part(v_headers ->> 'x-forwarded-for', ',', -1))
  end), '');
end;
$$;
comment on function private.visitor_address() is 'The visitor''s address as text, or null. Never stored: only its keyed hash is counted.';
revoke all on function private.visitor_address() from public, anon, authenticated, service_role;
