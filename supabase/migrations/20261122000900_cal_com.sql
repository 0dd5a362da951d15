-- The baseline of supabase/schemas/85_cal_com: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/85_cal_com/tables.sql
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

-- supabase/schemas/85_cal_com/apply_cal_com_event.sql
-- A Cal.com event becomes what it means for the appointments of one professional, once.
--
-- Called by the Edge Function `cal-com-webhook`, which has verified the signature, and by `cal-com reconcile`. Any order,
-- any repetition of the same events ends in the same state: they are merged by their createdAt, a cancelled booking stays
-- cancelled, and only then the appointment follows. Definer: it writes appointments. Locks: the professional.

create or replace function private.apply_cal_com_event(professional_id uuid, event jsonb, body_hash text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_professional_id uuid;
  v_read jsonb := private.read_cal_com_event(event);
  v_outcome text := 'ignored';
begin
  perform private.require_service_role();
  if body_hash is null or length(body_hash) not between 1 and 128 then
    perform private.raise_error('invalid_input', 'body_hash: 1 to 128 characters.');
  end if;
  select p.id into v_professional_id
  from public.professionals as p
  where p.id = apply_cal_com_event.professional_id
  for no key update;
  if v_professional_id is null then
    perform private.raise_error('not_found');
  elsif v_read ->> 'kind' = 'unreadable' then
    return private.refuse_cal_com_event(v_professional_id);
  end if;

  delete from private.cal_com_deliveries as d
  where d.professional_id = v_professional_id and d.received_at < private.clock() - interval '90 days';
  update private.cal_com_bookings as b
  set details = null
  where b.professional_id = v_professional_id and b.details is not null and b.ends_at < private.clock() - interval '90 days';
  insert into private.cal_com_deliveries (professional_id, body_hash, trigger_event, uid, event_created_at, outcome, received_at)
  values (
    v_professional_id, apply_cal_com_event.body_hash, v_read ->> 'trigger', v_read ->> 'uid',
    (v_read ->> 'created_at')::timestamptz, 'ignored', private.clock()
  )
  on conflict do nothing;
  if not found then
    return jsonb_build_object('outcome', 'duplicate');
  end if;
  update public.cal_com_connections as c
  set status = 'active', last_error = null, last_event_at = private.clock()
  where c.professional_id = v_professional_id;

  if v_read ->> 'kind' <> 'ignored' then
    perform private.merge_cal_com_event(v_professional_id, v_read);
    v_outcome := private.settle_cal_com_booking(v_professional_id, v_read ->> 'uid');
    update private.cal_com_deliveries as d
    set outcome = v_outcome
    where d.professional_id = v_professional_id and d.body_hash = apply_cal_com_event.body_hash;
  end if;
  return jsonb_build_object('outcome', v_outcome);
exception
  when exclusion_violation then
    -- Somebody wrote past the lock; the sender tries again and then finds the conflict.
    perform private.raise_error('slot_taken');
end;
$$;
comment on function private.apply_cal_com_event(uuid, jsonb, text) is 'Definer: writes appointments. The caller must be the webhook or the reconciliation, with the service key.';
revoke all on function private.apply_cal_com_event(uuid, jsonb, text) from public, anon, authenticated, service_role;
grant execute on function private.apply_cal_com_event(uuid, jsonb, text) to service_role;

create or replace function public.apply_cal_com_event(professional_id uuid, event jsonb, body_hash text)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.apply_cal_com_event(professional_id, event, body_hash);
$$;
comment on function public.apply_cal_com_event(uuid, jsonb, text) is
  'Webhook: applies a Cal.com event. → jsonb {outcome: applied | conflict | ignored | duplicate}; an event that cannot be read is answered 422 invalid_input and noted on the connection. Errors: not_found, invalid_input, slot_taken.';
revoke all on function public.apply_cal_com_event(uuid, jsonb, text) from public, anon, authenticated, service_role;
grant execute on function public.apply_cal_com_event(uuid, jsonb, text) to service_role;

-- supabase/schemas/85_cal_com/cal_com_secret.sql
-- The encrypted webhook secret of a professional, or null.
--
-- Called by the Edge Function `cal-com-webhook` before it can verify a signature: it holds the key, the database does not.
-- Definer: secrets are private. Locks: none.

create or replace function private.cal_com_secret(professional_id uuid)
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  return (select s.ciphertext from private.cal_com_secrets as s where s.professional_id = cal_com_secret.professional_id);
end;
$$;
comment on function private.cal_com_secret(uuid) is 'Definer: secrets are private. The caller must be the Edge Function with the service key.';
revoke all on function private.cal_com_secret(uuid) from public, anon, authenticated, service_role;
grant execute on function private.cal_com_secret(uuid) to service_role;

create or replace function public.cal_com_secret(professional_id uuid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select private.cal_com_secret(professional_id);
$$;
comment on function public.cal_com_secret(uuid) is 'Webhook: the ciphertext of the professional''s webhook secret. → text, null without a connection.';
revoke all on function public.cal_com_secret(uuid) from public, anon, authenticated, service_role;
grant execute on function public.cal_com_secret(uuid) to service_role;

-- supabase/schemas/85_cal_com/clean_line.sql
-- One clean line out of a stranger's text, or null.
--
-- Called by read_cal_com_event and read_cal_com_details: a name with a line break must not cost a booking, nor begin a
-- mail's header. What is_plain_line refuses becomes a space. Locks: none.

create or replace function private.clean_line(value text, max_length integer)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return nullif(btrim(left(btrim(
    regexp_replace(value, '[[:cntrl:]\u0001-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069<>]+', ' ', 'g')
  ), max_length)), '');
end;
$$;
comment on function private.clean_line(text, integer) is 'The text without control characters, marks of direction and angle brackets, cut to max_length; null when nothing is left.';
revoke all on function private.clean_line(text, integer) from public, anon, authenticated, service_role;

-- supabase/schemas/85_cal_com/clear_cal_com_conflict.sql
-- A booking waits no more: its conflict is over, the time blocked for it is free, and its client's data is not kept here.
--
-- Called by settle_cal_com_booking and place_cal_com_booking, under the professional's lock. Locks: the rows it changes.

create or replace function private.clear_cal_com_conflict(booking private.cal_com_bookings)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.cal_com_conflicts as c
  set resolved_at = private.clock()
  where c.professional_id = booking.professional_id and c.booking_uid = booking.uid and c.resolved_at is null;
  delete from public.availability_exceptions as e
  where e.id = (select b.exception_id from private.cal_com_bookings as b where b.id = booking.id);
  update private.cal_com_bookings as b set details = null where b.id = booking.id and b.details is not null;
end;
$$;
comment on function private.clear_cal_com_conflict(private.cal_com_bookings) is 'Resolves the open conflict of a booking, if there is one, and forgets the details it waited with.';
revoke all on function private.clear_cal_com_conflict(private.cal_com_bookings) from public, anon, authenticated, service_role;

-- supabase/schemas/85_cal_com/merge_cal_com_event.sql
-- Merges one event into the row of its booking: a join in the sense of lattices, so order and repetition do not matter.
--
-- Called by apply_cal_com_event, under the professional's lock. Cancelled is final: Cal.com never revives a uid; and what
-- has been confirmed is not asked for again. The newest event gives time and details; of two with the same createdAt the
-- one with the greater name, which is arbitrary but fixed.

create or replace function private.merge_cal_com_event(professional_id uuid, read jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_created_at timestamptz := (read ->> 'created_at')::timestamptz;
  v_trigger text := read ->> 'trigger';
begin
  insert into private.cal_com_bookings (professional_id, uid)
  values (merge_cal_com_event.professional_id, read ->> 'uid')
  on conflict on constraint cal_com_bookings_once do nothing;

  if read ->> 'kind' = 'no_show' then
    update private.cal_com_bookings as b
    set is_no_show = (read ->> 'is_no_show')::boolean, no_show_at = v_created_at
    where b.professional_id = merge_cal_com_event.professional_id and b.uid = read ->> 'uid'
      and (b.no_show_at is null or (b.no_show_at, b.is_no_show) <= (v_created_at, (read ->> 'is_no_show')::boolean));
    return;
  end if;

  update private.cal_com_bookings as b
  set rescheduled_from = coalesce(b.rescheduled_from, read ->> 'rescheduled_from')
  where b.professional_id = merge_cal_com_event.professional_id and b.uid = read ->> 'uid';
  if read ->> 'state' = 'cancelled' then
    update private.cal_com_bookings as b
    set state = 'cancelled', cancel_reason = coalesce(read ->> 'reason', b.cancel_reason)
    where b.professional_id = merge_cal_com_event.professional_id and b.uid = read ->> 'uid';
  else
    update private.cal_com_bookings as b
    set state = read ->> 'state'
    where b.professional_id = merge_cal_com_event.professional_id and b.uid = read ->> 'uid'
      and b.state not in ('confirmed', 'cancelled');
    update private.cal_com_bookings as b
    set facts_at = v_created_at,
      facts_trigger = v_trigger,
      starts_at = (read ->> 'starts_at')::timestamptz,
      ends_at = (read ->> 'ends_at')::timestamptz,
      details = read -> 'details'
    where b.professional_id = merge_cal_com_event.professional_id and b.uid = read ->> 'uid'
      and b.state <> 'cancelled'
      and (b.facts_at is null or (b.facts_at, b.facts_trigger) <= (v_created_at, v_trigger));
  end if;
end;
$$;
comment on function private.merge_cal_com_event(uuid, jsonb) is 'Merges what read_cal_com_event gave into the booking''s row.';
revoke all on function private.merge_cal_com_event(uuid, jsonb) from public, anon, authenticated, service_role;

-- supabase/schemas/85_cal_com/open_cal_com_conflict.sql
-- A booking that has no place: the professional sees it and is told once, and its time is offered to nobody.
--
-- Called by place_cal_com_booking, under the professional's lock. An appointment that the booking had before is cancelled:
-- at Cal.com nobody will come then.

create or replace function private.open_cal_com_conflict(booking private.cal_com_bookings, kind text, rival_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_during tstzrange := tstzrange(booking.starts_at, booking.ends_at);
  v_is_known boolean;
begin
  select true into v_is_known
  from public.cal_com_conflicts as c
  where c.professional_id = booking.professional_id and c.booking_uid = booking.uid and c.resolved_at is null
    and c.during = v_during;
  insert into public.cal_com_conflicts as c (professional_id, booking_uid, kind, during, appointment_id, created_at)
  values (booking.professional_id, booking.uid, open_cal_com_conflict.kind, v_during, rival_id, private.clock())
  on conflict (professional_id, booking_uid) where resolved_at is null do update
  set kind = excluded.kind, during = excluded.during, appointment_id = excluded.appointment_id;

  update public.availability_exceptions as e
  set during = v_during
  where e.id = (select b.exception_id from private.cal_com_bookings as b where b.id = booking.id);
  if not found then
    with blocked as (
      insert into public.availability_exceptions (professional_id, during, kind, reason)
      values (booking.professional_id, v_during, 'blocked', 'Cal.com')
      returning id
    )
    update private.cal_com_bookings as b set exception_id = blocked.id from blocked where b.id = booking.id;
  end if;
  update private.cal_com_bookings as b set appointment_id = null where b.id = booking.id and b.appointment_id is not null;
  update public.appointments as a
  set status = 'cancelled'
  where a.appointment_id = booking.appointment_id and a.status in ('requested', 'confirmed');
  if v_is_known is null then
    perform private.notify(array[booking.professional_id], 'cal_com_conflict', appointment_id => rival_id);
  end if;
end;
$$;
comment on function private.open_cal_com_conflict(private.cal_com_bookings, text, uuid) is 'Opens or renews the conflict of a booking, blocks its time, and notifies the professional.';
revoke all on function private.open_cal_com_conflict(private.cal_com_bookings, text, uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/85_cal_com/parse_instant.sql
-- A moment in ISO 8601 with its offset, or null.
--
-- Called by read_cal_com_event. Cal.com writes Z, .000Z and +00:00; words such as `infinity` or `tomorrow`, which Postgres
-- would take, and times without an offset are no moments. Locks: none.

create or replace function private.parse_instant(value text)
returns timestamptz
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if value ~ '^(19|20)\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$' then
    return value::timestamptz;
  end if;
  return null;
exception
  when data_exception then
    return null;
end;
$$;
comment on function private.parse_instant(text) is 'The moment that an ISO 8601 text with an offset names; null for anything else.';
revoke all on function private.parse_instant(text) from public, anon, authenticated, service_role;

-- supabase/schemas/85_cal_com/place_cal_com_booking.sql
-- Gives a Cal.com booking its appointment: made, moved, cancelled, or in conflict.
--
-- Called by settle_cal_com_booking, under the professional's lock, so that nobody takes the time between look and write.
-- Sauti cannot refuse what Cal.com has promised: a booking that does not fit stands as a conflict and blocks its time.

create or replace function private.place_cal_com_booking(booking private.cal_com_bookings, is_handed_over boolean)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  -- Shorter meetings hold the shortest time that an appointment can have.
  v_minutes integer := greatest(30, ceil(extract(epoch from booking.ends_at - booking.starts_at) / 60)::integer);
  v_appointment public.appointments;
  v_rival uuid;
begin
  select a.* into v_appointment from public.appointments as a where a.appointment_id = booking.appointment_id for no key update;
  if v_appointment.status not in ('requested', 'confirmed') or booking.state = 'unknown' then
    -- Ended here by the professional, or nothing but a no-show is known: not ours to change.
    perform private.clear_cal_com_conflict(booking);
    return 'applied';
  elsif booking.state = 'cancelled' then
    perform private.clear_cal_com_conflict(booking);
    update public.appointments as a
    set status = 'cancelled', cancel_reason = booking.cancel_reason
    where a.appointment_id = v_appointment.appointment_id;
    return 'applied';
  end if;

  select a.appointment_id into v_rival
  from public.appointments as a
  where a.professional_id = booking.professional_id
    and a.appointment_id is distinct from v_appointment.appointment_id
    and a.status in ('requested', 'confirmed')
    and private.appointment_during(a.appointment_date, a.duration_minutes)
      && private.appointment_during(booking.starts_at, least(v_minutes, 120))
  order by a.appointment_date
  limit 1;
  if v_rival is not null or v_minutes > 120 then
    perform private.open_cal_com_conflict(booking, case when v_minutes > 120 then 'duration' else 'overlap' end, v_rival);
    return 'conflict';
  end if;

  perform private.clear_cal_com_conflict(booking);
  perform private.write_cal_com_appointment(booking, v_appointment, v_minutes, is_handed_over);
  return 'applied';
end;
$$;
comment on function private.place_cal_com_booking(private.cal_com_bookings, boolean) is 'Makes, moves or cancels the appointment of one booking. → applied or conflict.';
revoke all on function private.place_cal_com_booking(private.cal_com_bookings, boolean) from public, anon, authenticated, service_role;

-- supabase/schemas/85_cal_com/read_cal_com_details.sql
-- Client, type, place and link out of a Cal.com payload, each cleaned or left out.
--
-- Called by read_cal_com_event. The title is not read: it holds names. Of several attendees the first is the client. Locks:
-- none.

create or replace function private.read_cal_com_details(payload jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_attendee jsonb := coalesce(payload -> 'attendees' -> 0, '{}'::jsonb);
  v_email text := private.clean_line(coalesce(v_attendee ->> 'email', payload #>> '{responses,email,value}'), 254);
  v_phone text := coalesce(
    v_attendee ->> 'phoneNumber', payload #>> '{responses,attendeePhoneNumber,value}', payload #>> '{responses,phone,value}'
  );
  v_locale text := v_attendee #>> '{language,locale}';
  v_link text := coalesce(payload #>> '{metadata,videoCallUrl}', payload ->> 'location');
  v_location text := private.clean_line(payload ->> 'location', 300);
begin
  return jsonb_build_object(
    'name', private.clean_line(coalesce(v_attendee ->> 'name', payload #>> '{responses,name,value}'), 120),
    'email', case when private.is_mail_address(v_email) then v_email end,
    'phone', case when v_phone ~ '^\+?[0-9 ()./-]{3,32}$' then v_phone end,
    'message', left(nullif(btrim(coalesce(payload ->> 'additionalNotes', payload #>> '{responses,notes,value}')), ''), 2000),
    'locale', case when v_locale ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$' then v_locale end,
    'time_zone', case when private.is_time_zone(v_attendee ->> 'timeZone') then v_attendee ->> 'timeZone' end,
    'type', private.clean_line(payload ->> 'type', 60),
    'meeting_url', case when length(v_link) <= 500 and v_link ~ '^https://[^[:space:][:cntrl:]]+$' then v_link end,
    'location', case when v_location !~ '^(integrations:|https?://)' then v_location end
  );
end;
$$;
comment on function private.read_cal_com_details(jsonb) is 'jsonb {name, email, phone, message, locale, time_zone, type, meeting_url, location}, null where there is nothing usable.';
revoke all on function private.read_cal_com_details(jsonb) from public, anon, authenticated, service_role;

-- supabase/schemas/85_cal_com/read_cal_com_event.sql
-- What one Cal.com event says, in our words.
--
-- Called by apply_cal_com_event. Locks: none. `kind` is booking, no_show, ignored (nothing to do with appointments, or
-- unknown: Cal.com adds events) or unreadable (a custom payload template can change everything). MEETING_STARTED and
-- MEETING_ENDED are flat, and their createdAt is the booking's own: they say nothing new and are ignored.

create or replace function private.read_cal_com_event(event jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_trigger text := case when jsonb_typeof(event -> 'triggerEvent') = 'string' then event ->> 'triggerEvent' end;
  v_payload jsonb := event -> 'payload';
  v_uid text := coalesce(v_payload ->> 'uid', v_payload ->> 'bookingUid');
  v_from text := v_payload ->> 'rescheduleUid';
  v_created_at timestamptz := private.parse_instant(event ->> 'createdAt');
  v_starts_at timestamptz := private.parse_instant(v_payload ->> 'startTime');
  v_ends_at timestamptz := private.parse_instant(v_payload ->> 'endTime');
  v_unreadable jsonb := jsonb_build_object('kind', 'unreadable');
  v_common jsonb;
begin
  if v_trigger is null or length(v_trigger) > 60 or v_trigger !~ '^[A-Z][A-Z0-9_]*$' then
    return v_unreadable;
  elsif v_trigger not in (
    'BOOKING_CREATED', 'BOOKING_REQUESTED', 'BOOKING_RESCHEDULED', 'BOOKING_PAID', 'BOOKING_CANCELLED', 'BOOKING_REJECTED',
    'BOOKING_NO_SHOW_UPDATED'
  ) then
    return jsonb_build_object('kind', 'ignored', 'trigger', v_trigger);
  elsif jsonb_typeof(v_payload) is distinct from 'object' or v_created_at is null
    or v_uid is null or not private.is_clean_text(v_uid, 255) or v_uid = ''
  then
    return v_unreadable;
  end if;
  v_common := jsonb_build_object('trigger', v_trigger, 'uid', v_uid, 'created_at', v_created_at);

  if v_trigger = 'BOOKING_NO_SHOW_UPDATED' then
    if jsonb_typeof(v_payload -> 'attendees') is distinct from 'array' then
      return v_unreadable;
    end if;
    return v_common || jsonb_build_object(
      'kind', 'no_show', 'is_no_show', v_payload -> 'attendees' @? '$[*] ? (@.noShow == true)'
    );
  end if;

  v_common := v_common || jsonb_build_object(
    'kind', 'booking',
    'rescheduled_from', case when private.is_clean_text(v_from, 255) and v_from not in ('', v_uid) then v_from end
  );
  if v_trigger in ('BOOKING_CANCELLED', 'BOOKING_REJECTED') then
    -- Also when the attendee is asked for another time (requestReschedule): until then there is no booking.
    return v_common || jsonb_build_object(
      'state', 'cancelled',
      'reason', private.clean_line(coalesce(v_payload ->> 'cancellationReason', v_payload ->> 'rejectionReason'), 500)
    );
  end if;
  if v_starts_at is null or v_ends_at is null or v_ends_at <= v_starts_at or v_ends_at > v_starts_at + interval '366 days' then
    return v_unreadable;
  end if;
  return v_common || jsonb_build_object(
    -- Times of the new booking; rescheduleStartTime and rescheduleEndTime belong to the one it replaces.
    'starts_at', v_starts_at,
    'ends_at', v_ends_at,
    'state', case
      when v_trigger = 'BOOKING_REQUESTED' or upper(v_payload ->> 'status') = 'PENDING' then 'requested'
      else 'confirmed'
    end,
    'details', private.read_cal_com_details(v_payload)
  );
end;
$$;
comment on function private.read_cal_com_event(jsonb) is 'jsonb {kind: booking | no_show | ignored | unreadable, trigger, uid, created_at, rescheduled_from, state, starts_at, ends_at, details, reason, is_no_show}.';
revoke all on function private.read_cal_com_event(jsonb) from public, anon, authenticated, service_role;

-- supabase/schemas/85_cal_com/refuse_cal_com_event.sql
-- An event that cannot be read: the professional learns it, and the sender gets 422.
--
-- Called by apply_cal_com_event. An exception would undo the note on the connection, so the status and the body of the
-- answer are set here (PostgREST takes them from `response.status`) and the transaction commits. Locks: the connection.

create or replace function private.refuse_cal_com_event(professional_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_error private.error_codes;
begin
  update public.cal_com_connections as c
  set status = 'needs_attention', last_error = 'custom_payload_template'
  where c.professional_id = refuse_cal_com_event.professional_id and c.status = 'active';
  if found then
    perform private.notify(array[refuse_cal_com_event.professional_id], 'cal_com_needs_attention');
  end if;
  select e.* into strict v_error from private.error_codes as e where e.symbol = 'invalid_input';
  perform set_config('response.status', v_error.status::text, true);
  return jsonb_build_object(
    'outcome', 'refused',
    'code', 'PT' || v_error.status,
    'message', v_error.symbol,
    'details', 'The event is not in the form that Cal.com sends by default.',
    'hint', 'Remove the custom payload template of the webhook.'
  );
end;
$$;
comment on function private.refuse_cal_com_event(uuid) is 'Notes custom_payload_template on the connection, notifies once. → the body of a 422 invalid_input.';
revoke all on function private.refuse_cal_com_event(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/85_cal_com/settle_cal_com_booking.sql
-- Makes the appointment follow a Cal.com booking and the chain of bookings that it belongs to.
--
-- Called by apply_cal_com_event and settle_cal_com_conflicts, which have locked the professional. Only the newest booking
-- of a chain counts: it takes over the appointment of those it replaces, so that the calendar entry moves instead of
-- being made anew. What it does depends on the rows alone, so the order in which events came makes no difference.

create or replace function private.settle_cal_com_booking(professional_id uuid, uid text)
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_uid text := settle_cal_com_booking.uid;
  v_next text;
  v_current private.cal_com_bookings;
  v_replaced uuid[];
  v_giver_id uuid;
  v_appointment_id uuid;
begin
  for i in 1..100 loop
    select n.uid into v_next
    from private.cal_com_bookings as n
    where n.professional_id = settle_cal_com_booking.professional_id and n.rescheduled_from = v_uid
    order by n.facts_at desc nulls last, n.uid desc
    limit 1;
    exit when v_next is null or v_next = settle_cal_com_booking.uid;
    v_uid := v_next;
  end loop;
  select b.* into strict v_current
  from private.cal_com_bookings as b
  where b.professional_id = settle_cal_com_booking.professional_id and b.uid = v_uid;

  -- The bookings that it replaces, nearest first.
  with recursive chain as (
    select v_current.id, v_current.rescheduled_from, 0 as place
    union all
    select b.id, b.rescheduled_from, c.place + 1
    from chain as c
    join private.cal_com_bookings as b
      on b.professional_id = settle_cal_com_booking.professional_id and b.uid = c.rescheduled_from
    where c.place < 100
  )
  select array_agg(c.id order by c.place) into v_replaced from chain as c where c.id <> v_current.id;

  if v_current.appointment_id is null and v_current.state in ('requested', 'confirmed') then
    select b.id, b.appointment_id into v_giver_id, v_appointment_id
    from private.cal_com_bookings as b
    join public.appointments as a on a.appointment_id = b.appointment_id and a.status in ('requested', 'confirmed')
    where b.id = any (v_replaced)
    order by array_position(v_replaced, b.id)
    limit 1;
    if v_giver_id is not null then
      update private.cal_com_bookings as b set appointment_id = null where b.id = v_giver_id;
      update private.cal_com_bookings as b set appointment_id = v_appointment_id where b.id = v_current.id
      returning b.* into v_current;
    end if;
  end if;
  perform private.clear_cal_com_conflict(b) from private.cal_com_bookings as b where b.id = any (v_replaced);
  update public.appointments as a
  set status = 'cancelled'
  where a.status in ('requested', 'confirmed') and a.appointment_id in (
    select b.appointment_id from private.cal_com_bookings as b where b.id = any (v_replaced)
  );
  return private.place_cal_com_booking(v_current, v_giver_id is not null);
end;
$$;
comment on function private.settle_cal_com_booking(uuid, text) is 'Brings the appointment of a chain of bookings up to date. → applied or conflict.';
revoke all on function private.settle_cal_com_booking(uuid, text) from public, anon, authenticated, service_role;

-- supabase/schemas/85_cal_com/settle_cal_com_conflicts.sql
-- Tries the open conflicts of a professional again.
--
-- Called when one of their appointments ends or moves. Locks: held by the caller, the professional first.

create or replace function private.settle_cal_com_conflicts(professional_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_uid text;
begin
  for v_uid in
    select c.booking_uid
    from public.cal_com_conflicts as c
    where c.professional_id = settle_cal_com_conflicts.professional_id and c.resolved_at is null
      and c.kind = 'overlap' and upper(c.during) > private.clock()
    order by lower(c.during), c.booking_uid
  loop
    perform private.settle_cal_com_booking(settle_cal_com_conflicts.professional_id, v_uid);
  end loop;
end;
$$;
comment on function private.settle_cal_com_conflicts(uuid) is 'Gives Cal.com bookings the place that has become free.';
revoke all on function private.settle_cal_com_conflicts(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/85_cal_com/store_cal_com_connection.sql
-- Stores a professional's Cal.com account with the encrypted secret of its webhook.
--
-- Called by the Edge Function `api` with the service key, after it has verified who the user is and encrypted the secret.
-- Storing again replaces link and secret. Definer: secrets are private. Locks: the connection.

create or replace function private.store_cal_com_connection(user_id uuid, booking_link text, secret text)
returns public.cal_com_connections
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_connection public.cal_com_connections;
begin
  perform private.require_service_role();
  if not exists (select 1 from public.professionals as p where p.id = store_cal_com_connection.user_id) then
    perform private.raise_error('not_allowed', 'Only professionals take bookings.');
  elsif booking_link is null or length(booking_link) > 500 or booking_link !~ '^https://[^[:space:][:cntrl:]]+$' then
    perform private.raise_error('invalid_input', 'booking_link: an https address of at most 500 characters.');
  elsif secret is null or length(secret) > 20000 or secret !~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{22,}$' then
    perform private.raise_error('invalid_input', 'secret: not a ciphertext');
  end if;
  insert into public.cal_com_connections as c (professional_id, booking_link)
  values (store_cal_com_connection.user_id, store_cal_com_connection.booking_link)
  on conflict on constraint cal_com_connections_pkey do update
  set booking_link = excluded.booking_link, status = 'active', last_error = null
  returning c.* into v_connection;
  insert into private.cal_com_secrets as s (professional_id, ciphertext)
  values (v_connection.professional_id, store_cal_com_connection.secret)
  on conflict on constraint cal_com_secrets_pkey do update
  set ciphertext = excluded.ciphertext, updated_at = now();
  return v_connection;
end;
$$;
comment on function private.store_cal_com_connection(uuid, text, text) is 'Definer: secrets are private. The caller must be the Edge Function with the service key.';
revoke all on function private.store_cal_com_connection(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function private.store_cal_com_connection(uuid, text, text) to service_role;

create or replace function public.store_cal_com_connection(user_id uuid, booking_link text, secret text)
returns public.cal_com_connections
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.store_cal_com_connection(user_id, booking_link, secret);
$$;
comment on function public.store_cal_com_connection(uuid, text, text) is
  'Edge Function: stores a Cal.com account with its encrypted webhook secret. → the connection. Errors: not_allowed, invalid_input.';
revoke all on function public.store_cal_com_connection(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function public.store_cal_com_connection(uuid, text, text) to service_role;

-- supabase/schemas/85_cal_com/tg_appointments__settle_cal_com.sql
-- When an appointment ends or moves, a Cal.com booking that waits for its time gets it, in the same transaction.
--
-- Called by: update on public.appointments. Definer: it writes appointments and conflicts. Locks: the professional, which
-- the functions that change an appointment hold already.

create or replace function private.tg_appointments__settle_cal_com()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if exists (
    select 1 from public.cal_com_conflicts as c where c.professional_id = new.professional_id and c.resolved_at is null
  ) then
    perform 1 from public.professionals as p where p.id = new.professional_id for no key update;
    perform private.settle_cal_com_conflicts(new.professional_id);
  end if;
  return null;
end;
$$;
comment on function private.tg_appointments__settle_cal_com() is 'Definer: conflicts and appointments are written by functions alone.';
revoke all on function private.tg_appointments__settle_cal_com() from public, anon, authenticated, service_role;

create trigger _950_settle_cal_com
after update on public.appointments
for each row
when (
  old.status in ('requested', 'confirmed') and (
    new.status not in ('requested', 'confirmed')
    or new.appointment_date <> old.appointment_date
    or new.duration_minutes <> old.duration_minutes
  )
)
execute function private.tg_appointments__settle_cal_com();

-- supabase/schemas/85_cal_com/write_cal_com_appointment.sql
-- Writes the appointment of a Cal.com booking that has its place, and who comes.
--
-- Called by place_cal_com_booking, under the professional's lock. Cal.com decides when; a request that the professional
-- has confirmed here stays confirmed, unless the booking was moved to a new request.

create or replace function private.write_cal_com_appointment(
  booking private.cal_com_bookings, appointment public.appointments, minutes integer, is_handed_over boolean
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_details jsonb := coalesce(booking.details, '{}'::jsonb);
  v_appointment_id uuid := appointment.appointment_id;
begin
  if v_appointment_id is null then
    insert into public.appointments (
      professional_id, appointment_date, duration_minutes, appointment_type, status, created_via, meeting_url, location,
      time_zone, updated_at
    )
    select p.id, booking.starts_at, minutes, coalesce(v_details ->> 'type', 'consultation'),
      booking.state::public.appointment_status, 'cal_com', v_details ->> 'meeting_url', v_details ->> 'location', p.time_zone,
      private.clock()
    from public.professionals as p
    where p.id = booking.professional_id
    returning appointments.appointment_id into v_appointment_id;
    update private.cal_com_bookings as b set appointment_id = v_appointment_id where b.id = booking.id;
  else
    update public.appointments as a
    set appointment_date = booking.starts_at,
      duration_minutes = minutes,
      status = case
        when booking.state = 'confirmed' or is_handed_over then booking.state::public.appointment_status
        else a.status
      end,
      -- Without details the event that changed something else: what is known stays.
      appointment_type = coalesce(v_details ->> 'type', a.appointment_type),
      meeting_url = case when booking.details is null then a.meeting_url else v_details ->> 'meeting_url' end,
      location = case when booking.details is null then a.location else v_details ->> 'location' end
    where a.appointment_id = v_appointment_id;
  end if;

  if booking.details is not null then
    insert into public.appointment_clients as c (
      appointment_id, client_name, client_email, client_phone, message, locale, time_zone
    )
    values (
      v_appointment_id, coalesce(v_details ->> 'name', v_details ->> 'email', 'Cal.com'), v_details ->> 'email',
      v_details ->> 'phone', v_details ->> 'message', coalesce(v_details ->> 'locale', 'en'),
      coalesce(v_details ->> 'time_zone', 'UTC')
    )
    on conflict on constraint appointment_clients_pkey do update
    set client_name = excluded.client_name, client_email = excluded.client_email, client_phone = excluded.client_phone,
      message = excluded.message, locale = excluded.locale, time_zone = excluded.time_zone;
  end if;
  if booking.is_no_show then
    update public.appointments as a
    set status = 'no_show'
    where a.appointment_id = v_appointment_id and a.status = 'confirmed';
  end if;
end;
$$;
comment on function private.write_cal_com_appointment(private.cal_com_bookings, public.appointments, integer, boolean) is 'Makes or changes the appointment of a booking, and its client.';
revoke all on function private.write_cal_com_appointment(private.cal_com_bookings, public.appointments, integer, boolean)
  from public, anon, authenticated, service_role;
