-- Appointments, which are how a case is accepted, and the log of every opening of a report.
--
-- Both are written by functions alone. Two live appointments of one person can never overlap: the functions lock the
-- person first, and the exclusion constraints hold even if one forgets.

create table public.appointments (
  appointment_id uuid primary key default gen_random_uuid(),
  -- Deferred: an account's end nulls several keys of one row, and each of these updates would check the others anew.
  professional_id uuid not null references public.professionals (id) on delete cascade deferrable initially deferred,
  survivor_id uuid references public.profiles (id) on delete set null deferrable initially deferred,
  matched_services uuid references public.matched_services (id) on delete set null deferrable initially deferred,
  appointment_date timestamptz not null,
  duration_minutes integer not null default 60,
  appointment_type text not null default 'consultation',
  status public.appointment_status not null default 'requested',
  created_via public.appointment_source not null,
  meeting_url text,
  location text,
  cancel_reason text,
  cancelled_by uuid references public.profiles (id) on delete set null deferrable initially deferred,
  sequence integer not null default 0,
  series_id uuid,
  time_zone text not null default 'UTC',
  held_until timestamptz,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint appointments_date_finite check (isfinite(appointment_date)),
  constraint appointments_duration_range check (duration_minutes between 30 and 120),
  constraint appointments_type_clean check (private.is_clean_text(appointment_type, 60) and appointment_type ~ '[^[:space:]]'),
  constraint appointments_meeting_url_https check (length(meeting_url) <= 500 and meeting_url ~ '^https://[^[:space:][:cntrl:]]+$'),
  constraint appointments_location_clean check (private.is_clean_text(location, 300)),
  constraint appointments_cancel_reason_length check (length(cancel_reason) <= 500),
  constraint appointments_sequence_positive check (sequence >= 0),
  constraint appointments_time_zone_known check (private.is_time_zone(time_zone)),
  constraint appointments_no_overlap exclude using gist (
    professional_id with =, private.appointment_during(appointment_date, duration_minutes) with &&
  ) where (status in ('requested', 'confirmed')),
  constraint appointments_no_overlap_survivor exclude using gist (
    survivor_id with =, private.appointment_during(appointment_date, duration_minutes) with &&
  ) where (status in ('requested', 'confirmed') and survivor_id is not null)
);
create index appointments_professional_id_idx on public.appointments (professional_id, appointment_date);
create index appointments_survivor_id_idx on public.appointments (survivor_id, appointment_date);
create index appointments_matched_services_idx on public.appointments (matched_services);
create index appointments_reminders_idx on public.appointments (appointment_date) where status = 'confirmed';
create index appointments_held_until_idx on public.appointments (held_until) where status = 'requested';
create index appointments_cancelled_by_idx on public.appointments (cancelled_by) where cancelled_by is not null;
-- No statistics on what others may not see: with them, the planner's estimate (Prefer: count=planned) moves with hidden values.
alter table public.appointments
  alter column appointment_type set statistics 0,
  alter column meeting_url set statistics 0,
  alter column location set statistics 0,
  alter column cancel_reason set statistics 0;
comment on table public.appointments is 'One session. The two parties read it; only functions write it.';
comment on column public.appointments.appointment_id is 'Key; also the UID of its calendar event, for life.';
comment on column public.appointments.professional_id is 'Who gives the session.';
comment on column public.appointments.survivor_id is 'Who receives it; null for outside clients.';
comment on column public.appointments.matched_services is 'The offer it belongs to; null for bookings.';
comment on column public.appointments.appointment_date is 'When it starts.';
comment on column public.appointments.duration_minutes is '30 to 120.';
comment on column public.appointments.appointment_type is 'Free word of at most 60 characters, such as consultation.';
comment on column public.appointments.status is 'See docs/states.md.';
comment on column public.appointments.created_via is 'Which door it came through.';
comment on column public.appointments.meeting_url is 'https address of a video meeting.';
comment on column public.appointments.location is 'One line of at most 300 characters.';
comment on column public.appointments.cancel_reason is 'At most 500 characters.';
comment on column public.appointments.cancelled_by is 'Who cancelled it.';
comment on column public.appointments.sequence is 'Rises with each change that matters to a calendar (RFC 5546).';
comment on column public.appointments.series_id is 'Common to the sessions of one series.';
comment on column public.appointments.time_zone is 'IANA zone in which it was made.';
comment on column public.appointments.held_until is 'When a request that nobody confirmed gives its time back; null when it is not waiting.';
comment on column public.appointments.created_at is 'When it was made.';
comment on column public.appointments.updated_at is 'When it last changed.';

create table private.access_log_entries (
  id bigint generated always as identity primary key,
  report_id uuid not null references public.reports (report_id) on delete cascade,
  survivor_id uuid not null references public.profiles (id) on delete cascade,
  match_id uuid references public.matched_services (id) on delete set null,
  actor_id uuid references public.profiles (id) on delete set null,
  actor_role text not null check (actor_role in ('professional', 'admin')),
  door text not null check (door in ('open_case', 'break_glass')),
  reason text check (length(reason) <= 1000),
  opened_at timestamptz not null
);
create index access_log_entries_survivor_id_idx on private.access_log_entries (survivor_id, opened_at desc);
create index access_log_entries_report_id_idx on private.access_log_entries (report_id);
create index access_log_entries_match_id_idx on private.access_log_entries (match_id);
create index access_log_entries_actor_id_idx on private.access_log_entries (actor_id);
comment on table private.access_log_entries is 'One row for each opening of a report by somebody else. Written by the doors only; the survivor reads it through public.access_log.';
comment on column private.access_log_entries.id is 'Key, in the order of opening.';
comment on column private.access_log_entries.report_id is 'What was opened.';
comment on column private.access_log_entries.survivor_id is 'Whose it is.';
comment on column private.access_log_entries.match_id is 'The accepted offer through which it was opened.';
comment on column private.access_log_entries.actor_id is 'Who opened it.';
comment on column private.access_log_entries.actor_role is 'professional or admin.';
comment on column private.access_log_entries.door is 'open_case or break_glass.';
comment on column private.access_log_entries.reason is 'Why, for break_glass.';
comment on column private.access_log_entries.opened_at is 'When.';
