-- The baseline of supabase/schemas/00_foundation: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/00_foundation/tables.sql
-- Schemas, extensions, default privileges and enumerations, the error registry and the clock.
--
-- Everything in `public` is exposed by the Data API and granted explicitly; `private` is never exposed.
-- Projects made before 30 October 2026 grant new objects in `public` to the API roles by default: that is undone here,
-- before the first table exists.

create schema private;
comment on schema private is 'Everything the Data API must never expose: outbox, credentials, logs, settings and the functions that hold power.';
revoke all on schema private from public;
grant usage on schema private to anon, authenticated, service_role;

alter default privileges revoke execute on functions from public;
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;

create extension if not exists btree_gist with schema extensions;
create extension if not exists cube with schema extensions;
create extension if not exists pgcrypto with schema extensions;

create type public.incident_type as enum (
  'domestic_violence', 'sexual_assault', 'physical', 'emotional', 'financial', 'child_abuse', 'child_labor', 'neglect',
  'trafficking', 'stalking', 'cyber', 'discrimination', 'other'
);
comment on type public.incident_type is 'What happened, in the words of the contract; one of the three masked facts.';

create type public.service_type as enum (
  'counseling', 'legal_aid', 'medical', 'shelter', 'financial_assistance', 'police_reporting', 'child_protection',
  'disability_support', 'substance_abuse', 'other'
);
comment on type public.service_type is 'What kind of help is asked for or offered.';

create type public.urgency_level as enum ('low', 'medium', 'high');
comment on type public.urgency_level is 'How soon help is needed; sets the number of offers and the pace of the response clock.';

create type public.gender_type as enum ('female', 'male', 'non_binary', 'prefer_not_to_say');
comment on type public.gender_type is 'Gender as the person states it; one of the three masked facts.';

create type public.age_category as enum ('child', 'adolescent', 'adult', 'older_adult');
comment on type public.age_category is 'child 0-12, adolescent 13-17, adult 18-59, older_adult 60 and over; one of the three masked facts.';

create type public.contact_preference as enum ('phone_call', 'sms', 'email', 'in_app', 'do_not_contact');
comment on type public.contact_preference is 'The one channel on which a survivor wants to be reached; obeyed when a message is sent, not when it is queued.';

create type public.report_status as enum ('recorded', 'pending', 'active', 'archived', 'withdrawn');
comment on type public.report_status is 'recorded = kept without consent to share, never matched.';

create type public.match_status as enum ('pending', 'matched', 'accepted', 'escalated');
comment on type public.match_status is 'How far matching has come for a report.';

create type public.match_status_type as enum (
  'pending', 'accepted', 'declined', 'expired', 'superseded', 'withdrawn', 'completed'
);
comment on type public.match_status_type is 'State of one offer.';

create type public.appointment_status as enum ('requested', 'confirmed', 'completed', 'cancelled', 'no_show');
comment on type public.appointment_status is 'requested and confirmed are live: they hold the time.';

create type public.appointment_source as enum (
  'meet_now', 'scheduled_acceptance', 'public_booking', 'cal_com', 'follow_up'
);
comment on type public.appointment_source is 'Which door an appointment came through.';

create type public.verification_status as enum ('pending', 'under_review', 'verified', 'rejected', 'suspended');
comment on type public.verification_status is 'Only verified professionals and services are ever matched.';

create type public.calendar_provider as enum ('google', 'microsoft', 'caldav');
comment on type public.calendar_provider is 'Who keeps a connected calendar.';

create table private.error_codes (
  symbol text primary key check (symbol ~ '^[a-z_]{3,40}$'),
  status smallint not null check (status between 400 and 499),
  details text not null,
  hint text not null
);
comment on table private.error_codes is 'The error registry: every error that our own SQL raises. docs/errors.md is generated from it.';
comment on column private.error_codes.symbol is 'Stable name, sent as `message`.';
comment on column private.error_codes.status is 'HTTP status; PostgREST reads it from the SQLSTATE PT<status>.';
comment on column private.error_codes.details is 'The default plain sentence; never personal data.';
comment on column private.error_codes.hint is 'The default next step for the caller.';

insert into private.error_codes (symbol, status, details, hint) values
  ('not_authenticated', 401, 'This needs a signed-in user.', 'Sign in and repeat the call with the user''s access token.'),
  ('not_verified', 403, 'The professional is not verified.', 'Wait until an administrator has verified the profile and the service.'),
  ('not_allowed', 403, 'The caller may not do this.', 'Ask the person or role that the documentation names for this function.'),
  ('not_found', 404, 'There is no such row for this caller.', 'Check the id.'),
  ('match_not_pending', 409, 'The offer is no longer open.', 'Read the offer again; somebody may have been faster.'),
  ('match_expired', 409, 'The offer has expired.', 'Wait for the next offer.'),
  ('case_not_open', 409, 'The case is not open.', 'Read the offer and the report again.'),
  ('invalid_transition', 409, 'The present state does not allow this change.', 'Read the row again.'),
  ('slot_taken', 409, 'Another appointment holds this time.', 'Choose another time.'),
  ('report_withdrawn', 409, 'The report has been withdrawn.', 'Nothing more can be done with this case.'),
  ('outside_availability', 422, 'The time is not among the available slots.', 'Ask available_slots for a free one.'),
  ('in_the_past', 422, 'The time has already passed.', 'Give a time in the future.'),
  ('invalid_duration', 422, 'An appointment lasts 30 to 120 minutes.', 'Give a duration between 30 and 120.'),
  ('invalid_input', 422, 'A value is missing, malformed or too long.', 'Correct the value that the details name.'),
  ('consent_required', 422, 'This needs the survivor''s consent.', 'Ask for consent first; nothing was stored.'),
  ('too_many_requests', 429, 'Too many requests.', 'Wait before trying again.');

create table private.clock_offset (
  id boolean primary key default true check (id),
  "offset" interval not null default '0'
);
comment on table private.clock_offset is 'One row: how far private.clock() runs ahead of now(). Zero in production; tests set it to move time.';
comment on column private.clock_offset.id is 'Always true, so that there is one row.';
comment on column private.clock_offset."offset" is 'Added to now().';
insert into private.clock_offset default values;

-- supabase/schemas/00_foundation/appointment_during.sql
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

-- supabase/schemas/00_foundation/clock.sql
-- The one clock of every rule: now(), plus the offset that tests set.
--
-- Called by: every function that compares a time. Locks: none.

create or replace function private.clock()
returns timestamptz
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select now() + o."offset" from private.clock_offset as o
  );
end;
$$;
comment on function private.clock() is 'The present moment for every rule: transaction time plus private.clock_offset.';
revoke all on function private.clock() from public, anon, authenticated, service_role;
grant execute on function private.clock() to anon, authenticated, service_role;
grant select on table private.clock_offset to anon, authenticated, service_role;

-- supabase/schemas/00_foundation/is_clean_text.sql
-- Whether a one-line text is free of control characters and within its length.
--
-- Called by check constraints: names end in mail headers and calendar lines, where a line break would be an injection.
-- Locks: none.

create or replace function private.is_clean_text(value text, max_length integer)
returns boolean
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
begin
  return length(value) <= max_length and value !~ '[[:cntrl:]]';
end;
$$;
comment on function private.is_clean_text(text, integer) is 'True for one line of at most max_length characters without control characters.';
revoke all on function private.is_clean_text(text, integer) from public, anon, authenticated, service_role;
grant execute on function private.is_clean_text(text, integer) to anon, authenticated, service_role;

-- supabase/schemas/00_foundation/is_short_list.sql
-- Whether a text array is small and clean: no nulls, no empty or long members, one dimension.
--
-- Called by check constraints on languages, specialisations and needs. Locks: none.

create or replace function private.is_short_list(items text[], max_items integer, max_length integer)
returns boolean
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
begin
  return coalesce(array_ndims(items), 1) = 1
    and cardinality(items) <= max_items
    and not exists (
      select 1
      from unnest(items) as item
      where item is null or item !~ '^[^[:cntrl:]]+$' or length(item) > max_length
    );
end;
$$;
comment on function private.is_short_list(text[], integer, integer) is 'True when the array has at most max_items members, each of 1 to max_length characters without control characters.';
revoke all on function private.is_short_list(text[], integer, integer) from public, anon, authenticated, service_role;
grant execute on function private.is_short_list(text[], integer, integer) to anon, authenticated, service_role;

-- supabase/schemas/00_foundation/is_time_zone.sql
-- Whether a name is a time zone that this server knows.
--
-- Called by check constraints. Declared immutable because a zone, once known, stays known. Locks: none.

create or replace function private.is_time_zone(name text)
returns boolean
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  -- POSIX strings such as 'X+5' are accepted by the server but mean nothing to a calendar program.
  if name is null or name !~ '^(UTC|GMT|[A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2})$' then
    return false;
  end if;
  perform timestamptz 'epoch' at time zone name;
  return true;
exception
  when invalid_parameter_value then
    return false;
end;
$$;
comment on function private.is_time_zone(text) is 'True for an IANA time zone name that this server knows.';
revoke all on function private.is_time_zone(text) from public, anon, authenticated, service_role;
grant execute on function private.is_time_zone(text) to anon, authenticated, service_role;

-- supabase/schemas/00_foundation/new_case_code.sql
-- A short, speakable code for a case, such as LUMO-KITA-42.
--
-- Called by the default of reports.case_code. Random from a cryptographic source: a code must not tell the order or
-- number of cases. Fourteen consonants and five vowels: two billion codes. Locks: none.

create or replace function private.new_case_code()
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_bytes bytea := extensions.gen_random_bytes(9);
  v_code text := '';
begin
  for i in 0..3 loop
    v_code := v_code
      || substr('BDFGHKLMNPRSTZ', 1 + get_byte(v_bytes, 2 * i) % 14, 1)
      || substr('AEIOU', 1 + get_byte(v_bytes, 2 * i + 1) % 5, 1)
      || case i when 1 then '-' else '' end;
  end loop;
  return v_code || '-' || lpad((get_byte(v_bytes, 8) % 100)::text, 2, '0');
end;
$$;
comment on function private.new_case_code() is 'A random speakable code: two syllables, two syllables, two digits.';
revoke all on function private.new_case_code() from public, anon, authenticated, service_role;
grant execute on function private.new_case_code() to authenticated, service_role;

-- supabase/schemas/00_foundation/raise_error.sql
-- The only way in which our SQL refuses: SQLSTATE PT<status>, message = the registered symbol.
--
-- Called by: every function and trigger, as any role; it reads the registry with the caller's rights. Locks: none.

create or replace function private.raise_error(symbol text, details text default null, hint text default null)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_error private.error_codes;
begin
  select e.* into strict v_error from private.error_codes as e where e.symbol = raise_error.symbol;
  raise exception using
    errcode = 'PT' || v_error.status,
    message = v_error.symbol,
    detail = coalesce(raise_error.details, v_error.details),
    hint = coalesce(raise_error.hint, v_error.hint);
end;
$$;
comment on function private.raise_error(text, text, text) is 'Raises the registered error `symbol`; details and hint default to the registry''s and must never hold personal data.';
revoke all on function private.raise_error(text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.raise_error(text, text, text) to anon, authenticated, service_role;
grant select on table private.error_codes to anon, authenticated, service_role;

-- supabase/schemas/00_foundation/require_service_role.sql
-- Refuses every caller but the worker's service key.
--
-- Called first by the queue functions. It reads the role of the request's token, because inside a definer function
-- `current_user` is the owner; a direct database session (no token) passes only as a role that bypasses RLS. Locks: none.

create or replace function private.require_service_role()
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if coalesce(auth.role(), '') <> 'service_role' and session_user = 'authenticator' then
    perform private.raise_error('not_allowed', 'Only the worker may call this.', 'Use the service role key.');
  end if;
end;
$$;
comment on function private.require_service_role() is 'Raises not_allowed (403) unless the request carries the service role.';
revoke all on function private.require_service_role() from public, anon, authenticated, service_role;
grant execute on function private.require_service_role() to service_role;

-- supabase/schemas/00_foundation/require_user.sql
-- Who is calling: the id of the signed-in user, or not_authenticated.
--
-- Called first by every function that acts for a user. A key without a user (anon, service) is refused. Locks: none.

create or replace function private.require_user()
returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
begin
  if v_user_id is null then
    perform private.raise_error('not_authenticated');
  end if;
  return v_user_id;
end;
$$;
comment on function private.require_user() is 'The signed-in user''s id; raises not_authenticated (401) for keys without a user.';
revoke all on function private.require_user() from public, anon, authenticated, service_role;
grant execute on function private.require_user() to anon, authenticated, service_role;
