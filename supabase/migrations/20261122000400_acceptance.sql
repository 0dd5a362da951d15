-- The baseline of supabase/schemas/40_acceptance: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/40_acceptance/tables.sql
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

-- supabase/schemas/40_acceptance/accept_match.sql
-- Acceptance: a professional takes a case by making an appointment, and in no other way.
--
-- Called by the professional who was offered it. One transaction: offer accepted, appointment confirmed, report
-- matched, rival offers superseded. When the appointment cannot be made, nothing has happened. The same call repeated
-- gives back the same appointment. Definer: nobody may write offers or appointments directly. Locks: see lock_match.

create or replace function private.accept_match(
  match_id uuid, mode text, starts_at timestamptz, duration_minutes integer, appointment_type text
)
returns public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_now timestamptz := private.clock();
  v_locked record;
  v_match public.matched_services;
  v_appointment public.appointments;
  v_starts_at timestamptz := starts_at;
begin
  -- The survivor of a foreign offer must not be locked, and its existence not be told.
  if not exists (
    select 1 from public.matched_services as m where m.id = accept_match.match_id and m.professional_id = v_user_id
  ) then
    perform private.raise_error('not_found');
  end if;
  case mode
    when 'meet_now' then
      if v_starts_at is not null then
        perform private.raise_error(
          'invalid_input', 'starts_at: meet_now sets the time itself.', 'Leave starts_at out, or use schedule_later.'
        );
      end if;
      v_starts_at := date_trunc('second', v_now) + interval '60 minutes';
    when 'schedule_later' then
      if v_starts_at is null then
        perform private.raise_error('invalid_input', 'starts_at: schedule_later needs a time.', 'Give starts_at, or use meet_now.');
      end if;
    else
      perform private.raise_error('invalid_input', 'mode: meet_now or schedule_later.');
  end case;
  perform private.check_appointment_time(v_starts_at, duration_minutes, appointment_type);

  select * into v_locked from private.lock_match(match_id);
  v_match := v_locked.match;
  if v_match.match_status_type = 'accepted' then
    select a.* into v_appointment
    from public.appointments as a
    where a.matched_services = v_match.id
      and a.created_via = case mode when 'meet_now' then 'meet_now' else 'scheduled_acceptance' end::public.appointment_source
      and (mode = 'meet_now' or a.appointment_date = v_starts_at)
    order by a.created_at
    limit 1;
    if found then
      return v_appointment;
    end if;
  end if;
  if (v_locked.report).status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif not exists (
    select 1
    from public.professionals as p
    join public.support_services as s on s.id = v_match.service_id
    where p.id = v_user_id and p.verification_status = 'verified' and s.verification_status = 'verified'
  ) then
    perform private.raise_error('not_verified');
  elsif v_match.match_status_type = 'expired' or (v_match.match_status_type = 'pending' and v_match.expires_at <= v_now) then
    perform private.raise_error('match_expired');
  elsif v_match.match_status_type <> 'pending' or exists (
    -- A block that came while the offer was being made did not see it.
    select 1
    from public.blocked_professionals as b
    where (b.survivor_id, b.professional_id) in (((v_locked.report).user_id, v_user_id), (v_user_id, (v_locked.report).user_id))
  ) then
    perform private.raise_error('match_not_pending');
  end if;

  perform private.finish_hand_over(v_match.id);
  update public.matched_services as m
  set match_status_type = 'superseded'
  where m.report_id = v_match.report_id and m.service_type = v_match.service_type and m.id <> v_match.id
    and m.match_status_type = 'pending';
  update public.matched_services as m
  set match_status_type = 'accepted', responded_at = v_now
  where m.id = v_match.id;
  update public.reports as r
  set ismatched = true, status = 'active', match_status = 'accepted'
  where r.report_id = v_match.report_id;
  update private.response_clocks as c
  set settled_at = v_now
  where c.report_id = v_match.report_id and c.service_type = v_match.service_type;
  update private.escalations as e
  set resolved_at = v_now
  where e.report_id = v_match.report_id and e.service_type = v_match.service_type and e.resolved_at is null;

  return private.make_appointment(
    professional_id => v_user_id, survivor_id => (v_locked.report).user_id, match_id => v_match.id, starts_at => v_starts_at,
    duration_minutes => duration_minutes, appointment_type => appointment_type, status => 'confirmed',
    created_via => case mode when 'meet_now' then 'meet_now' else 'scheduled_acceptance' end::public.appointment_source
  );
end;
$$;
comment on function private.accept_match(uuid, text, timestamptz, integer, text) is 'Definer: acceptance writes offers, reports and appointments that nobody may write directly. The caller must be the professional of the offer.';
revoke all on function private.accept_match(uuid, text, timestamptz, integer, text) from public, anon, authenticated, service_role;
grant execute on function private.accept_match(uuid, text, timestamptz, integer, text) to authenticated;

create or replace function public.accept_match(
  match_id uuid, mode text, starts_at timestamptz default null, duration_minutes integer default 60,
  appointment_type text default 'consultation'
)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.accept_match(match_id, mode, starts_at, duration_minutes, appointment_type);
end;
$$;
comment on function public.accept_match(uuid, text, timestamptz, integer, text) is
  'Professional: takes an offered case by making an appointment. mode meet_now = in 60 minutes, schedule_later = at starts_at; 30 to 120 minutes. → the appointment. Errors: not_found, invalid_input, in_the_past, invalid_duration, match_not_pending, match_expired, not_verified, slot_taken, report_withdrawn.';
revoke all on function public.accept_match(uuid, text, timestamptz, integer, text) from public, anon, authenticated, service_role;
grant execute on function public.accept_match(uuid, text, timestamptz, integer, text) to anon, authenticated;

-- supabase/schemas/40_acceptance/break_glass.sql
-- The emergency door: an administrator opens a report, says why, and the survivor is told.
--
-- Called by administrators. Definer: no administrator has a right on reports. The log entry, the ledger and the
-- notification are in the same transaction, so there is no reading without them. What was never shared, or is no longer,
-- stays shut. Locks: the report, shared, against its withdrawal.

create or replace function private.break_glass(report_id uuid, reason text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_admin_id uuid := private.require_admin();
  v_report public.reports;
begin
  if reason is null or length(btrim(reason, E' \t\r\n')) < 20 or length(reason) > 1000 then
    perform private.raise_error(
      'invalid_input', 'reason: 20 to 1000 characters.',
      'Say why this report has to be opened; the survivor reads it.'
    );
  end if;
  select r.* into v_report from public.reports as r where r.report_id = break_glass.report_id for share;
  if not found then
    perform private.raise_error('not_found');
  elsif v_report.status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_report.status = 'recorded' then
    perform private.raise_error('consent_required', 'The report was recorded and never shared.');
  end if;
  insert into private.access_log_entries (report_id, survivor_id, actor_id, actor_role, door, reason, opened_at)
  values (v_report.report_id, v_report.user_id, v_admin_id, 'admin', 'break_glass', break_glass.reason, private.clock());
  perform private.record_audit(
    'break_glass', v_admin_id, v_report.user_id, '{}',
    jsonb_build_object('report_id', v_report.report_id, 'reason', break_glass.reason)
  );
  perform private.notify(array[v_report.user_id], 'access_opened', report_id => v_report.report_id);
  return private.case_file(v_report, null);
end;
$$;
comment on function private.break_glass(uuid, text) is 'Definer: administrators have no right on reports. The caller must be one, with a reason; writes the access log and tells the survivor.';
revoke all on function private.break_glass(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.break_glass(uuid, text) to authenticated;

create or replace function public.break_glass(report_id uuid, reason text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.break_glass(report_id, reason);
end;
$$;
comment on function public.break_glass(uuid, text) is
  'Administrator in an emergency: the whole report, as open_case; needs a reason of 20 to 1000 characters, is logged, and the survivor is told and reads the reason. → jsonb. Errors: not_allowed, invalid_input, not_found, consent_required, report_withdrawn.';
revoke all on function public.break_glass(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.break_glass(uuid, text) to anon, authenticated;

-- supabase/schemas/40_acceptance/case_file.sql
-- The case file: everything of a report that the one who may open it needs.
--
-- Called by the doors (open_case), which check and log first. Locks: none.

create or replace function private.case_file(report public.reports, match_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'report_id', report.report_id,
    'case_code', report.case_code,
    'match_id', match_id,
    'status', report.status,
    'urgency', report.urgency,
    'required_services', report.required_services,
    'created_at', report.created_at,
    'incident_type', report.incident_type,
    'incident_date', report.incident_date,
    'incident_description', report.incident_description,
    'gender', report.gender,
    'age_category', report.age_category,
    'survivor_name', report.survivor_name,
    'contact_email', report.contact_email,
    'contact_phone', report.contact_phone,
    'contact_preference', report.contact_preference,
    'safe_contact_from', report.safe_contact_from,
    'safe_contact_until', report.safe_contact_until,
    'time_zone', (select p.time_zone from public.profiles as p where p.id = report.user_id),
    'emergency_contact', report.emergency_contact,
    'preferred_language', report.preferred_language,
    'preferred_professional_gender', report.preferred_professional_gender,
    'special_needs', report.special_needs,
    'latitude', report.latitude,
    'longitude', report.longitude,
    'sessions', coalesce((
      select jsonb_agg(
        jsonb_build_object(
          'appointment_id', a.appointment_id, 'appointment_date', a.appointment_date, 'duration_minutes', a.duration_minutes,
          'appointment_type', a.appointment_type, 'status', a.status
        )
        order by a.appointment_date
      )
      from public.appointments as a
      where a.matched_services = match_id
    ), '[]'::jsonb)
  );
$$;
comment on function private.case_file(public.reports, uuid) is 'The whole report as jsonb, with the sessions held under the offer.';
revoke all on function private.case_file(public.reports, uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/40_acceptance/decline_match.sql
-- A professional passes on an offer, and the next best candidate is asked in the same transaction.
--
-- Called by the professional who was offered it; a second call changes nothing. Definer: nobody may write offers
-- directly. Locks: see lock_match.

create or replace function private.decline_match(match_id uuid, reason text)
returns public.matched_services
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_locked record;
  v_match public.matched_services;
begin
  if not exists (
    select 1 from public.matched_services as m where m.id = decline_match.match_id and m.professional_id = v_user_id
  ) then
    perform private.raise_error('not_found');
  end if;
  if length(reason) > 500 then
    perform private.raise_error('invalid_input', 'reason: at most 500 characters');
  end if;
  select * into v_locked from private.lock_match(match_id);
  v_match := v_locked.match;
  if v_match.match_status_type = 'declined' then
    return v_match;
  elsif v_match.match_status_type = 'expired' then
    perform private.raise_error('match_expired');
  elsif v_match.match_status_type <> 'pending' then
    perform private.raise_error('match_not_pending');
  end if;
  update public.matched_services as m
  set match_status_type = 'declined', responded_at = private.clock(), decline_reason = reason
  where m.id = v_match.id
  returning m.* into v_match;
  perform private.replace_offer(v_locked.report, v_match.service_type);
  return v_match;
end;
$$;
comment on function private.decline_match(uuid, text) is 'Definer: offers are not writable directly. The caller must be the professional of the offer.';
revoke all on function private.decline_match(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.decline_match(uuid, text) to authenticated;

create or replace function public.decline_match(match_id uuid, reason text default null)
returns public.matched_services
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.decline_match(match_id, reason);
end;
$$;
comment on function public.decline_match(uuid, text) is
  'Professional: passes on an offer; the next best candidate is asked at once. → the offer. Errors: not_found, match_not_pending, match_expired, invalid_input.';
revoke all on function public.decline_match(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.decline_match(uuid, text) to anon, authenticated;

-- supabase/schemas/40_acceptance/lock_match.sql
-- Locks everything that a change of one offer may touch, always in the same order, and reads it fresh.
--
-- Called by acceptance, decline and completion. Order: professional, survivor, report, offer. Because everybody takes
-- the locks in this order, and the professional's comes first, thirty-two acceptances of one report queue up instead of
-- deadlocking, and no two appointments of one person are made at once. An offer that is gone by then is not_found.

create or replace function private.lock_match(match_id uuid)
returns table (match public.matched_services, report public.reports)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_professional_id uuid;
  v_survivor_id uuid;
  v_report_id uuid;
begin
  select m.professional_id, r.user_id, r.report_id into v_professional_id, v_survivor_id, v_report_id
  from public.matched_services as m
  join public.reports as r on r.report_id = m.report_id
  where m.id = lock_match.match_id;
  if not found then
    perform private.raise_error('not_found');
  end if;
  perform 1 from public.professionals as p where p.id = v_professional_id for no key update;
  perform 1 from public.profiles as p where p.id = v_survivor_id for no key update;
  select r.* into report from public.reports as r where r.report_id = v_report_id for no key update;
  select m.* into match from public.matched_services as m where m.id = lock_match.match_id for no key update;
  if match.id is null or report.report_id is null then
    perform private.raise_error('not_found');
  end if;
  return next;
end;
$$;
comment on function private.lock_match(uuid) is 'Locks professional, survivor, report and offer in this order and gives back the offer and its report as they are then; raises not_found.';
revoke all on function private.lock_match(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/40_acceptance/open_case.sql
-- The only door to a person's story: the whole report, for the professional who accepted it, each time logged.
--
-- Called by that professional. Definer: professionals have no right on reports. The log entry is written in the same
-- transaction, so there is no reading without one. The report is locked against a withdrawal at the same moment.

create or replace function private.open_case(match_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_match public.matched_services;
  v_report public.reports;
begin
  select m.* into v_match
  from public.matched_services as m
  where m.id = open_case.match_id and m.professional_id = v_user_id;
  if not found then
    perform private.raise_error('not_found');
  end if;
  select r.* into v_report from public.reports as r where r.report_id = v_match.report_id for share;
  select m.* into v_match from public.matched_services as m where m.id = v_match.id;
  if v_report.status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif not exists (
    select 1 from public.professionals as p where p.id = v_user_id and p.verification_status = 'verified'
  ) then
    perform private.raise_error('not_verified');
  elsif v_match.match_status_type not in ('accepted', 'completed') then
    perform private.raise_error(
      'case_not_open', 'A case opens when its offer has been accepted with an appointment.', 'Accept the offer first.'
    );
  elsif not private.has_case_access(v_match) then
    perform private.raise_error('case_not_open', 'The case was closed some time ago.', 'Nothing more can be done with this case.');
  end if;

  insert into private.access_log_entries (report_id, survivor_id, match_id, actor_id, actor_role, door, opened_at)
  values (v_report.report_id, v_report.user_id, v_match.id, v_user_id, 'professional', 'open_case', private.clock());
  perform private.record_audit(
    'open_case', v_user_id, v_report.user_id, '{}',
    jsonb_build_object('report_id', v_report.report_id, 'match_id', v_match.id)
  );
  return private.case_file(v_report, v_match.id);
end;
$$;
comment on function private.open_case(uuid) is 'Definer: professionals have no right on reports. The caller must be the professional who accepted; writes the access log.';
revoke all on function private.open_case(uuid) from public, anon, authenticated, service_role;
grant execute on function private.open_case(uuid) to authenticated;

create or replace function public.open_case(match_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.open_case(match_id);
end;
$$;
comment on function public.open_case(uuid) is
  'Professional who accepted: the whole report with contact, safe-contact rules and earlier sessions; logged, and the survivor can read the log. → jsonb. Errors: not_found, case_not_open, report_withdrawn, not_verified.';
revoke all on function public.open_case(uuid) from public, anon, authenticated, service_role;
grant execute on function public.open_case(uuid) to anon, authenticated;

-- supabase/schemas/40_acceptance/access_log.sql
-- Who opened what of my reports: the survivor's own view of the log.
--
-- Read by: the survivor, through the policy of private.access_log_entries. Locks: none.

create or replace view public.access_log
with (security_invoker = true)
as
select e.id, e.report_id, e.match_id, e.actor_id, e.actor_role, e.door, e.reason, e.opened_at
from private.access_log_entries as e;
comment on view public.access_log is 'Who opened my reports, when, through which door and why. Own reports only.';
comment on column public.access_log.id is 'Key, in the order of opening.';
comment on column public.access_log.report_id is 'What was opened.';
comment on column public.access_log.match_id is 'The accepted offer through which it was opened.';
comment on column public.access_log.actor_id is 'Who opened it.';
comment on column public.access_log.actor_role is 'professional or admin.';
comment on column public.access_log.door is 'open_case or break_glass.';
comment on column public.access_log.reason is 'Why, for break_glass.';
comment on column public.access_log.opened_at is 'When.';
