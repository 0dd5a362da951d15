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
