-- Cal.com: who takes bookings there, what was delivered, what each booking is now, and which ones could not be placed.
--
-- Events arrive late, twice and in any order, so they are merged into one row per booking; the appointment follows from it.

create table public.cal_com_connections (
  professional_id uuid primary key references public.professionals (id) on delete cascade,
  booking_link text not null,
  status text not null default 'active',
  last_error text,
  last_event_at timestamptz,
  created_at timestamptz not null default now(),
  constraint cal_com_connections_booking_link_https check (
    length(booking_link) <= 500 and booking_link ~ '^https://[^[:space:][:cntrl:]]+$'
  ),
  constraint cal_com_connections_status_known check (status in ('active', 'needs_attention')),
  constraint cal_com_connections_last_error_symbol check (last_error ~ '^[a-z0-9_]{2,80}$')
);
comment on table public.cal_com_connections is 'A professional''s Cal.com account. Own row. Its webhook secret is in private.cal_com_secrets.';
comment on column public.cal_com_connections.professional_id is 'Whose account; also the last part of the webhook''s address.';
comment on column public.cal_com_connections.booking_link is 'https address of the booking page.';
comment on column public.cal_com_connections.status is 'active, or needs_attention: the last event could not be read.';
comment on column public.cal_com_connections.last_error is 'Symbol of what was wrong with it; null when active.';
comment on column public.cal_com_connections.last_event_at is 'When the last event arrived that could be read.';
comment on column public.cal_com_connections.created_at is 'When it was connected.';

create table private.cal_com_secrets (
  professional_id uuid primary key references public.cal_com_connections (professional_id) on delete cascade,
  ciphertext text not null check (
    length(ciphertext) <= 20000 and ciphertext ~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{22,}$'
  ),
  updated_at timestamptz not null default now()
);
comment on table private.cal_com_secrets is 'Webhook secrets, encrypted outside the database under SAUTI_TOKEN_KEYS and bound to <professional id>:cal_com.';
comment on column private.cal_com_secrets.professional_id is 'The connection.';
comment on column private.cal_com_secrets.ciphertext is 'v1.<key id>.<nonce>.<ciphertext and tag>, base64url.';
comment on column private.cal_com_secrets.updated_at is 'When it was stored.';

create table private.cal_com_deliveries (
  id bigint generated always as identity primary key,
  professional_id uuid not null references public.professionals (id) on delete cascade,
  body_hash text not null check (length(body_hash) between 1 and 128),
  trigger_event text not null check (length(trigger_event) <= 60),
  uid text check (length(uid) <= 255),
  event_created_at timestamptz,
  outcome text not null check (outcome in ('applied', 'conflict', 'ignored')),
  received_at timestamptz not null,
  constraint cal_com_deliveries_body_once unique (professional_id, body_hash),
  constraint cal_com_deliveries_event_once unique (professional_id, uid, trigger_event, event_created_at)
);
comment on table private.cal_com_deliveries is 'Which events were taken, so that none counts twice. Kept for 90 days; no names, no bodies.';
comment on column private.cal_com_deliveries.id is 'Key, in the order of arrival.';
comment on column private.cal_com_deliveries.professional_id is 'To whom it was addressed.';
comment on column private.cal_com_deliveries.body_hash is 'SHA-256 of the raw body: there is no delivery id.';
comment on column private.cal_com_deliveries.trigger_event is 'What it says happened.';
comment on column private.cal_com_deliveries.uid is 'The booking; null for events about none.';
comment on column private.cal_com_deliveries.event_created_at is 'Its createdAt: gives the order, never trust.';
comment on column private.cal_com_deliveries.outcome is 'applied, conflict or ignored.';
comment on column private.cal_com_deliveries.received_at is 'When it arrived.';

create table private.cal_com_bookings (
  id uuid primary key default gen_random_uuid(),
  professional_id uuid not null references public.professionals (id) on delete cascade,
  uid text not null check (length(uid) between 1 and 255),
  rescheduled_from text check (length(rescheduled_from) between 1 and 255),
  state text not null default 'unknown' check (state in ('unknown', 'requested', 'confirmed', 'cancelled')),
  cancel_reason text check (length(cancel_reason) <= 500),
  is_no_show boolean not null default false,
  no_show_at timestamptz,
  facts_at timestamptz,
  facts_trigger text check (length(facts_trigger) <= 60),
  starts_at timestamptz,
  ends_at timestamptz,
  details jsonb,
  appointment_id uuid references public.appointments (appointment_id) on delete set null,
  exception_id uuid references public.availability_exceptions (id) on delete set null,
  created_at timestamptz not null default now(),
  constraint cal_com_bookings_once unique (professional_id, uid),
  constraint cal_com_bookings_ends_after_start check (ends_at > starts_at)
);
create index cal_com_bookings_rescheduled_from_idx on private.cal_com_bookings (professional_id, rescheduled_from)
  where rescheduled_from is not null;
create index cal_com_bookings_appointment_id_idx on private.cal_com_bookings (appointment_id);
create index cal_com_bookings_exception_id_idx on private.cal_com_bookings (exception_id);
comment on table private.cal_com_bookings is 'What all events about one booking add up to, in whatever order they came.';
comment on column private.cal_com_bookings.id is 'Key.';
comment on column private.cal_com_bookings.professional_id is 'Who is booked.';
comment on column private.cal_com_bookings.uid is 'Cal.com''s name of the booking; moving it makes a new one.';
comment on column private.cal_com_bookings.rescheduled_from is 'The uid that this booking replaces.';
comment on column private.cal_com_bookings.state is 'unknown until an event tells; cancelled is final; else the newest event counts.';
comment on column private.cal_com_bookings.cancel_reason is 'As given at Cal.com.';
comment on column private.cal_com_bookings.is_no_show is 'The client was marked absent.';
comment on column private.cal_com_bookings.no_show_at is 'createdAt of the event that says so.';
comment on column private.cal_com_bookings.facts_at is 'createdAt of the event that gave state, time and details.';
comment on column private.cal_com_bookings.facts_trigger is 'Its triggerEvent, which decides between two of the same moment.';
comment on column private.cal_com_bookings.starts_at is 'When it starts.';
comment on column private.cal_com_bookings.ends_at is 'When it ends.';
comment on column private.cal_com_bookings.details is 'Client, type, place and link, only while the booking waits for a free place, and at most until 90 days after its end; else they are in the appointment.';
comment on column private.cal_com_bookings.appointment_id is 'The appointment made of it.';
comment on column private.cal_com_bookings.exception_id is 'The blocked time that stands for it while it is in conflict.';
comment on column private.cal_com_bookings.created_at is 'When its first event arrived.';

create table public.cal_com_conflicts (
  id uuid primary key default gen_random_uuid(),
  professional_id uuid not null references public.professionals (id) on delete cascade,
  booking_uid text not null,
  kind text not null,
  during tstzrange not null,
  appointment_id uuid references public.appointments (appointment_id) on delete set null,
  resolved_at timestamptz,
  created_at timestamptz not null default now(),
  constraint cal_com_conflicts_booking_uid_length check (length(booking_uid) between 1 and 255),
  constraint cal_com_conflicts_kind_known check (kind in ('overlap', 'duration'))
);
create unique index cal_com_conflicts_open_idx on public.cal_com_conflicts (professional_id, booking_uid)
  where resolved_at is null;
create index cal_com_conflicts_professional_id_idx on public.cal_com_conflicts (professional_id, created_at desc);
create index cal_com_conflicts_appointment_id_idx on public.cal_com_conflicts (appointment_id);
comment on table public.cal_com_conflicts is 'Cal.com bookings that cannot be an appointment. The professional sees them; their time is blocked until they are resolved.';
comment on column public.cal_com_conflicts.id is 'Key.';
comment on column public.cal_com_conflicts.professional_id is 'Who is booked twice.';
comment on column public.cal_com_conflicts.booking_uid is 'Cal.com''s name of the booking.';
comment on column public.cal_com_conflicts.kind is 'overlap: another appointment holds the time; duration: longer than an appointment can be.';
comment on column public.cal_com_conflicts.during is 'The time of the Cal.com booking.';
comment on column public.cal_com_conflicts.appointment_id is 'The appointment that was there first.';
comment on column public.cal_com_conflicts.resolved_at is 'When one of the two went or moved; null while open.';
comment on column public.cal_com_conflicts.created_at is 'When it was found.';
