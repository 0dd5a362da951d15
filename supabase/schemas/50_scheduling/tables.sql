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
