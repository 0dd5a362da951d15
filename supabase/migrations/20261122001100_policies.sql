-- The baseline of policies: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- policies/access_log_entries.sql
-- The survivor reads who opened the reports, through the view public.access_log; nobody writes but the doors.

alter table private.access_log_entries enable row level security;
revoke all on table private.access_log_entries from public, anon, authenticated, service_role;
revoke all on table public.access_log from public, anon, authenticated, service_role;
grant select on table private.access_log_entries to authenticated;
grant select on table public.access_log to authenticated;

create policy select_own on private.access_log_entries
for select to authenticated
using (survivor_id = (select auth.uid()));
comment on policy select_own on private.access_log_entries is 'The survivor whose report was opened.';

-- policies/appointment_clients.sql
-- Who booked from outside: for the professional of the appointment alone; functions write.

alter table public.appointment_clients enable row level security;
revoke all on table public.appointment_clients from public, anon, authenticated, service_role;
grant select on table public.appointment_clients to authenticated;

create policy select_professional on public.appointment_clients
for select to authenticated
using (exists (
  select 1
  from public.appointments as a
  where a.appointment_id = appointment_clients.appointment_id and a.professional_id = (select auth.uid())
));
comment on policy select_professional on public.appointment_clients is 'The professional of the appointment.';

-- policies/appointment_types.sql
-- Own rows, and what a professional who takes public bookings offers to visitors.

alter table public.appointment_types enable row level security;
revoke all on table public.appointment_types from public, anon, authenticated, service_role;
grant select on table public.appointment_types to anon;
grant select, delete, insert (id, professional_id, name, duration_minutes, is_public, is_active), update (id, professional_id, name, duration_minutes, is_public, is_active) on table public.appointment_types to authenticated;
grant select, insert, update, delete on table public.appointment_types to service_role;

create policy select_bookable on public.appointment_types
for select to anon
using (
  is_public and is_active and exists (
    select 1
    from public.professionals as p
    where p.id = professional_id and p.verification_status = 'verified' and p.is_public_booking
  )
);
comment on policy select_bookable on public.appointment_types is 'What visitors may book with professionals whom they see.';

create policy select_bookable_or_own on public.appointment_types
for select to authenticated
using (
  professional_id = (select auth.uid())
  or (is_public and is_active and exists (
    select 1
    from public.professionals as p
    where p.id = professional_id and p.verification_status = 'verified' and p.is_public_booking
  ))
);
comment on policy select_bookable_or_own on public.appointment_types is 'Own rows, and what visitors may book.';

create policy insert_own on public.appointment_types
for insert to authenticated
with check (professional_id = (select auth.uid()));
comment on policy insert_own on public.appointment_types is 'For oneself only.';

create policy update_own on public.appointment_types
for update to authenticated
using (professional_id = (select auth.uid()))
with check (professional_id = (select auth.uid()));
comment on policy update_own on public.appointment_types is 'For oneself only.';

create policy delete_own on public.appointment_types
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.appointment_types is 'For oneself only.';

-- policies/appointments.sql
-- The two parties read; functions write.

alter table public.appointments enable row level security;
revoke all on table public.appointments from public, anon, authenticated, service_role;
grant select on table public.appointments to authenticated, service_role;

create policy select_parties on public.appointments
for select to authenticated
using (professional_id = (select auth.uid()) or survivor_id = (select auth.uid()));
comment on policy select_parties on public.appointments is 'Professional and survivor of the appointment.';

-- policies/availability_exceptions.sql
-- Absences are their owner''s business; others see free slots.

alter table public.availability_exceptions enable row level security;
revoke all on table public.availability_exceptions from public, anon, authenticated, service_role;
grant select, delete, insert (id, professional_id, during, kind, reason), update (id, professional_id, during, kind, reason) on table public.availability_exceptions to authenticated;
grant select, insert, update, delete on table public.availability_exceptions to service_role;

create policy select_own on public.availability_exceptions
for select to authenticated
using (professional_id = (select auth.uid()));
comment on policy select_own on public.availability_exceptions is 'Absences are their owner''s business; others see free slots.';

create policy insert_own on public.availability_exceptions
for insert to authenticated
with check (professional_id = (select auth.uid()));
comment on policy insert_own on public.availability_exceptions is 'For oneself only.';

create policy update_own on public.availability_exceptions
for update to authenticated
using (professional_id = (select auth.uid()))
with check (professional_id = (select auth.uid()));
comment on policy update_own on public.availability_exceptions is 'For oneself only.';

create policy delete_own on public.availability_exceptions
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.availability_exceptions is 'For oneself only.';

-- policies/availability_rules.sql
-- Weekly hours are their owner''s business; others see free slots.

alter table public.availability_rules enable row level security;
revoke all on table public.availability_rules from public, anon, authenticated, service_role;
grant select, delete, insert (id, professional_id, weekday, start_time, end_time), update (id, professional_id, weekday, start_time, end_time) on table public.availability_rules to authenticated;
grant select, insert, update, delete on table public.availability_rules to service_role;

create policy select_own on public.availability_rules
for select to authenticated
using (professional_id = (select auth.uid()));
comment on policy select_own on public.availability_rules is 'Weekly hours are their owner''s business; others see free slots.';

create policy insert_own on public.availability_rules
for insert to authenticated
with check (professional_id = (select auth.uid()));
comment on policy insert_own on public.availability_rules is 'For oneself only.';

create policy update_own on public.availability_rules
for update to authenticated
using (professional_id = (select auth.uid()))
with check (professional_id = (select auth.uid()));
comment on policy update_own on public.availability_rules is 'For oneself only.';

create policy delete_own on public.availability_rules
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.availability_rules is 'For oneself only.';

-- policies/blocked_professionals.sql
-- A survivor's own list; the blocked person never learns of it.

alter table public.blocked_professionals enable row level security;
revoke all on table public.blocked_professionals from public, anon, authenticated, service_role;
grant select, delete, insert (survivor_id, professional_id) on table public.blocked_professionals to authenticated;
grant select, insert, update, delete on table public.blocked_professionals to service_role;

create policy select_own on public.blocked_professionals
for select to authenticated
using (survivor_id = (select auth.uid()));
comment on policy select_own on public.blocked_professionals is 'Only who blocks sees it.';

create policy insert_own on public.blocked_professionals
for insert to authenticated
with check (survivor_id = (select auth.uid()));
comment on policy insert_own on public.blocked_professionals is 'For oneself only.';

create policy delete_own on public.blocked_professionals
for delete to authenticated
using (survivor_id = (select auth.uid()));
comment on policy delete_own on public.blocked_professionals is 'For oneself only.';

-- policies/cal_com_conflicts.sql
-- The professional sees what could not be placed; functions write.

alter table public.cal_com_conflicts enable row level security;
revoke all on table public.cal_com_conflicts from public, anon, authenticated, service_role;
grant select on table public.cal_com_conflicts to authenticated, service_role;

create policy select_own on public.cal_com_conflicts
for select to authenticated
using (professional_id = (select auth.uid()));
comment on policy select_own on public.cal_com_conflicts is 'For the professional only.';

-- policies/cal_com_connections.sql
-- Own row; its secret is elsewhere, out of every client role's reach. Deleting it takes the secret along.

alter table public.cal_com_connections enable row level security;
revoke all on table public.cal_com_connections from public, anon, authenticated, service_role;
grant select, delete on table public.cal_com_connections to authenticated;
grant select on table public.cal_com_connections to service_role;

create policy select_own on public.cal_com_connections
for select to authenticated
using (professional_id = (select auth.uid()));
comment on policy select_own on public.cal_com_connections is 'For the professional only.';

create policy delete_own on public.cal_com_connections
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.cal_com_connections is 'The professional disconnects Cal.com; appointments stay.';

-- policies/calendar_busy.sql
-- The professional only; times of their private life.

alter table public.calendar_busy enable row level security;
revoke all on table public.calendar_busy from public, anon, authenticated, service_role;
grant select on table public.calendar_busy to authenticated;
grant select, insert, update, delete on table public.calendar_busy to service_role;

create policy select_own on public.calendar_busy
for select to authenticated
using (professional_id = (select auth.uid()));
comment on policy select_own on public.calendar_busy is 'For their owner only; others see free slots.';

-- policies/calendar_connections.sql
-- Own rows; the credentials are elsewhere, out of every client role's reach.

alter table public.calendar_connections enable row level security;
revoke all on table public.calendar_connections from public, anon, authenticated, service_role;
grant select, update (detail_level) on table public.calendar_connections to authenticated;
grant select, insert, update, delete on table public.calendar_connections to service_role;

create policy select_own on public.calendar_connections
for select to authenticated
using (user_id = (select auth.uid()));
comment on policy select_own on public.calendar_connections is 'For their owner only.';

create policy update_own on public.calendar_connections
for update to authenticated
using (user_id = (select auth.uid()))
with check (user_id = (select auth.uid()));
comment on policy update_own on public.calendar_connections is 'Only how much the events say.';

-- policies/calendar_events.sql
-- The owner of the calendar reads what stands in it.

alter table public.calendar_events enable row level security;
revoke all on table public.calendar_events from public, anon, authenticated, service_role;
grant select on table public.calendar_events to authenticated, service_role;

create policy select_own on public.calendar_events
for select to authenticated
using (connection_id = any (array(select c.id from public.calendar_connections as c where c.user_id = (select auth.uid()))));
comment on policy select_own on public.calendar_events is 'Events of the caller''s own calendars.';

-- policies/case_note_versions.sql
-- What a note said before: its author only, and nobody writes but the trigger.

alter table public.case_note_versions enable row level security;
revoke all on table public.case_note_versions from public, anon, authenticated, service_role;
grant select on table public.case_note_versions to authenticated;

create policy select_author on public.case_note_versions
for select to authenticated
using (
  professional_id = (select auth.uid())
  and note_id = any (array(select n.id from public.case_notes as n where n.professional_id = (select auth.uid())))
);
comment on policy select_author on public.case_note_versions is 'The author of the note, as long as they read the note itself.';

-- policies/case_notes.sql
-- The author only, while they have access to the case. Notes are changed in versions and never deleted.

alter table public.case_notes enable row level security;
revoke all on table public.case_notes from public, anon, authenticated, service_role;
grant select, insert (id, matched_services, appointment_id, professional_id, body), update (body) on table public.case_notes to authenticated;

create policy select_author on public.case_notes
for select to authenticated
using (professional_id = (select auth.uid()) and matched_services = any ((select private.readable_cases())::uuid[]));
comment on policy select_author on public.case_notes is 'Its author, and nobody else; withdrawn consent closes it with the case.';

create policy insert_author on public.case_notes
for insert to authenticated
with check (professional_id = (select auth.uid()));
comment on policy insert_author on public.case_notes is 'As oneself; the trigger lets in only notes on a case that one holds.';

create policy update_author on public.case_notes
for update to authenticated
using (professional_id = (select auth.uid()) and matched_services = any ((select private.readable_cases())::uuid[]))
with check (professional_id = (select auth.uid()));
comment on policy update_author on public.case_notes is 'The text only; the trigger keeps the version before.';

-- policies/consent_texts.sql
-- The words are for everybody to read before they consent; operators write them.

alter table public.consent_texts enable row level security;
revoke all on table public.consent_texts from public, anon, authenticated, service_role;
grant select on table public.consent_texts to anon, authenticated;
grant select, insert on table public.consent_texts to service_role;

create policy select_all on public.consent_texts
for select to anon, authenticated
using (true);
comment on policy select_all on public.consent_texts is 'Published words; nothing about anybody.';

-- policies/consents.sql
-- The survivor reads what they consented to; what acts on a consent writes it.

alter table public.consents enable row level security;
revoke all on table public.consents from public, anon, authenticated, service_role;
grant select on table public.consents to authenticated;

create policy select_own on public.consents
for select to authenticated
using (user_id = (select auth.uid()));
comment on policy select_own on public.consents is 'Only who consented.';

-- policies/escalations.sql
-- Administrators read open escalations through the view public.escalations.

alter table private.escalations enable row level security;
revoke all on table private.escalations from public, anon, authenticated, service_role;
revoke all on table public.escalations from public, anon, authenticated, service_role;
grant select on table private.escalations to authenticated;
grant select on table public.escalations to authenticated;

create policy select_admins on private.escalations
for select to authenticated
using ((select private.is_admin()));
comment on policy select_admins on private.escalations is 'Administrators coordinate; masked facts only.';

-- policies/google_calendar_events.sql
-- The owner of the calendar; the table's policy does the rest.

revoke all on table public.google_calendar_events from public, anon, authenticated, service_role;
grant select on table public.google_calendar_events to authenticated, service_role;

-- policies/hand_overs.sql
-- Who asks and whose consent it needs; the colleague knows their offer and no more. Functions write.

alter table public.hand_overs enable row level security;
revoke all on table public.hand_overs from public, anon, authenticated, service_role;
grant select on table public.hand_overs to authenticated;

create policy select_parties on public.hand_overs
for select to authenticated
using (survivor_id = (select auth.uid()) or from_professional_id = (select auth.uid()));
comment on policy select_parties on public.hand_overs is 'The survivor and the professional who asked.';

-- policies/match_breakdowns.sql
-- Why an offer was made: administrators only, because proximity tells a distance.

alter table public.match_breakdowns enable row level security;
revoke all on table public.match_breakdowns from public, anon, authenticated, service_role;
grant select on table public.match_breakdowns to authenticated, service_role;

create policy select_admins on public.match_breakdowns
for select to authenticated
using ((select private.is_admin()));
comment on policy select_admins on public.match_breakdowns is 'Administrators check the fairness of matching; nobody else may learn a distance.';

-- policies/matched_services.sql
-- A professional sees own offers, a survivor the accepted and completed ones. Nobody writes: functions do.

alter table public.matched_services enable row level security;
revoke all on table public.matched_services from public, anon, authenticated, service_role;
grant select on table public.matched_services to authenticated;
grant select on table public.matched_services to service_role;

create policy select_parties on public.matched_services
for select to authenticated
using (
  professional_id = (select auth.uid())
  or (
    match_status_type in ('accepted', 'completed')
    and report_id = any (array(select r.report_id from public.reports as r where r.user_id = (select auth.uid())))
  )
);
comment on policy select_parties on public.matched_services is 'The row holds nothing but masked facts, so the whole row is safe to show to whom it was offered.';

-- policies/messages.sql
-- The two parties of an accepted case read and write; the reader marks as read. Nobody changes or deletes a message.

alter table public.messages enable row level security;
revoke all on table public.messages from public, anon, authenticated, service_role;
grant select, insert (id, matched_services, sender_id, body), update (read_at) on table public.messages to authenticated;

create policy select_parties on public.messages
for select to authenticated
using (matched_services = any ((select private.readable_cases())::uuid[]));
comment on policy select_parties on public.messages is 'The survivor, and the professional while they have access to the case.';

create policy insert_own on public.messages
for insert to authenticated
with check (sender_id = (select auth.uid()));
comment on policy insert_own on public.messages is 'As oneself; the trigger lets in only parties of an open case, within limits.';

create policy update_reader on public.messages
for update to authenticated
using (sender_id <> (select auth.uid()) and matched_services = any ((select private.readable_cases())::uuid[]))
with check (sender_id <> (select auth.uid()));
comment on policy update_reader on public.messages is 'Who received it marks it as read; the column grant allows nothing else.';

-- policies/notifications.sql
-- Own rows; reading is all that a person can change.

alter table public.notifications enable row level security;
revoke all on table public.notifications from public, anon, authenticated, service_role;
grant select, update (read_at) on table public.notifications to authenticated;
grant select on table public.notifications to service_role;

create policy select_own on public.notifications
for select to authenticated
using (user_id = (select auth.uid()));
comment on policy select_own on public.notifications is 'For their reader only.';

create policy update_own on public.notifications
for update to authenticated
using (user_id = (select auth.uid()))
with check (user_id = (select auth.uid()));
comment on policy update_own on public.notifications is 'Marking as read; the column grant allows nothing else.';

-- policies/professionals.sql
-- Publishable facts: own row, those who take public bookings, and for a survivor those who accepted a case of theirs.

alter table public.professionals enable row level security;
revoke all on table public.professionals from public, anon, authenticated, service_role;
grant select on table public.professionals to anon, authenticated;
grant update (
  professional_title, bio, avatar_url, gender, languages, is_public_booking, booking_slug, time_zone, out_of_office_until
) on table public.professionals to authenticated;
grant select, insert, update, delete on table public.professionals to service_role;

create policy select_bookable on public.professionals
for select to anon
using (verification_status = 'verified' and is_public_booking);
comment on policy select_bookable on public.professionals is 'Visitors see verified professionals who chose to take public bookings.';

create policy select_known on public.professionals
for select to authenticated
using (
  id = (select auth.uid())
  or (verification_status = 'verified' and is_public_booking)
  or (select private.is_admin())
  or id = any (array(
    select m.professional_id
    from public.matched_services as m
    where m.match_status_type in ('accepted', 'completed')
      and m.report_id = any (array(select r.report_id from public.reports as r where r.user_id = (select auth.uid())))
  ))
);
comment on policy select_known on public.professionals is 'The own row, public booking, a professional who accepted one of my reports; and administrators, who verify them.';

create policy update_own on public.professionals
for update to authenticated
using (id = (select auth.uid()))
with check (id = (select auth.uid()));
comment on policy update_own on public.professionals is 'The own card; the column grants keep verification_status out.';

-- policies/profiles.sql
-- Own row only; what decides a person's power is not writable.

alter table public.profiles enable row level security;
revoke all on table public.profiles from public, anon, authenticated, service_role;
grant select, update (display_name, phone, locale, time_zone) on table public.profiles to authenticated;
grant select, insert, update, delete on table public.profiles to service_role;

create policy select_own on public.profiles
for select to authenticated
using (id = (select auth.uid()));
comment on policy select_own on public.profiles is 'A profile holds a phone number: its owner only.';

create policy update_own on public.profiles
for update to authenticated
using (id = (select auth.uid()))
with check (id = (select auth.uid()));
comment on policy update_own on public.profiles is 'Name, phone, language and time zone; the column grants keep user_type out.';

-- policies/realtime_messages.sql
-- Who may join a private topic: a user their own, the worker the doorbell. Nobody sends.

create policy select_own_topic on realtime.messages
for select to authenticated
using (extension = 'broadcast' and (select realtime.topic()) = 'user:' || (select auth.uid()));
comment on policy select_own_topic on realtime.messages is 'Live events carry ids and states only, and reach the one user whose topic it is.';

create policy select_doorbell on realtime.messages
for select to service_role
using ((select realtime.topic()) = 'sauti_sync');
comment on policy select_doorbell on realtime.messages is 'The worker hears that there are jobs.';

-- policies/report_progress.sql
-- The survivor's own view; the tables' policies do the rest.

revoke all on table public.report_progress from public, anon, authenticated, service_role;
grant select on table public.report_progress to authenticated;

-- policies/reports.sql
-- Only the survivor. No policy of any other kind may ever stand here: not even the planner's row estimate may depend on it.

alter table public.reports enable row level security;
revoke all on table public.reports from public, anon, authenticated, service_role;
grant select on table public.reports to authenticated;
grant insert (
  report_id, user_id, incident_type, incident_description, incident_date, urgency, required_services, gender, age_category,
  survivor_name, contact_email, contact_phone, contact_preference, safe_contact_from, safe_contact_until,
  emergency_contact, preferred_language, preferred_professional_gender, special_needs, consent_to_share,
  consent_location, latitude, longitude
) on table public.reports to authenticated;
grant update (
  incident_description, incident_date, survivor_name, contact_email, contact_phone, contact_preference, safe_contact_from,
  safe_contact_until, emergency_contact, preferred_language, preferred_professional_gender, special_needs
) on table public.reports to authenticated;
grant insert on table public.reports to service_role;

create policy select_own on public.reports
for select to authenticated
using (user_id = (select auth.uid()));
comment on policy select_own on public.reports is 'One door to a story: its owner here, everybody else through open_case and break_glass, which are logged.';

create policy insert_own on public.reports
for insert to authenticated
with check (user_id = (select auth.uid()));
comment on policy insert_own on public.reports is 'A survivor files for themselves; the column grants keep status, match_status and case_code out.';

create policy update_own on public.reports
for update to authenticated
using (user_id = (select auth.uid()))
with check (user_id = (select auth.uid()));
comment on policy update_own on public.reports is 'Story and contact may be corrected; consent has its functions.';

-- policies/scheduling_preferences.sql
-- How a professional wants to be booked is their own business; others see free slots.

alter table public.scheduling_preferences enable row level security;
revoke all on table public.scheduling_preferences from public, anon, authenticated, service_role;
grant select, delete, insert (
  professional_id, slot_interval_minutes, min_notice_minutes, horizon_days, buffer_before_minutes, buffer_after_minutes,
  daily_limit, crisis_24_7, request_hold_hours
), update (
  professional_id, slot_interval_minutes, min_notice_minutes, horizon_days, buffer_before_minutes, buffer_after_minutes,
  daily_limit, crisis_24_7, request_hold_hours
) on table public.scheduling_preferences to authenticated;
grant select, insert, update, delete on table public.scheduling_preferences to service_role;

create policy select_own on public.scheduling_preferences
for select to authenticated
using (professional_id = (select auth.uid()));
comment on policy select_own on public.scheduling_preferences is 'For their owner only; others see free slots.';

create policy insert_own on public.scheduling_preferences
for insert to authenticated
with check (professional_id = (select auth.uid()));
comment on policy insert_own on public.scheduling_preferences is 'For oneself only.';

create policy update_own on public.scheduling_preferences
for update to authenticated
using (professional_id = (select auth.uid()))
with check (professional_id = (select auth.uid()));
comment on policy update_own on public.scheduling_preferences is 'For oneself only.';

create policy delete_own on public.scheduling_preferences
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.scheduling_preferences is 'For oneself only; the defaults come back.';

-- policies/supabase_realtime.sql
-- What `postgres_changes` carries, under the policies of each table.

alter publication supabase_realtime add table public.matched_services, public.appointments, public.notifications, public.messages;

-- policies/support_services.sql
-- Owners manage their services; a survivor sees the service that took the case. Verification is for administrators.

alter table public.support_services enable row level security;
revoke all on table public.support_services from public, anon, authenticated, service_role;
grant select, delete on table public.support_services to authenticated;
grant insert (
  id, professional_id, name, service_type, incident_types, description, latitude, longitude, coverage_radius_km, is_remote,
  languages, specialisations, max_active_cases, crisis_24_7, is_active
) on table public.support_services to authenticated;
grant update (
  name, incident_types, description, latitude, longitude, coverage_radius_km, is_remote, languages, specialisations,
  max_active_cases, crisis_24_7, is_active
) on table public.support_services to authenticated;
grant select, insert, update, delete on table public.support_services to service_role;

create policy select_known on public.support_services
for select to authenticated
using (
  professional_id = (select auth.uid())
  or (select private.is_admin())
  or id = any (array(
    select m.service_id
    from public.matched_services as m
    where m.match_status_type in ('accepted', 'completed')
      and m.report_id = any (array(select r.report_id from public.reports as r where r.user_id = (select auth.uid())))
  ))
);
comment on policy select_known on public.support_services is 'Own services, or the one that accepted a report of mine; and administrators, who verify them.';

create policy insert_own on public.support_services
for insert to authenticated
with check (professional_id = (select auth.uid()));
comment on policy insert_own on public.support_services is 'A professional adds services for themselves; they start unverified.';

create policy update_own on public.support_services
for update to authenticated
using (professional_id = (select auth.uid()))
with check (professional_id = (select auth.uid()));
comment on policy update_own on public.support_services is 'The column grants keep service_type and verification_status out: verification was for this kind of help.';

create policy delete_own on public.support_services
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.support_services is 'A service that was never offered a case may go; the foreign key of the offers keeps the others.';

-- policies/verification_decisions.sql
-- The professional reads what was decided and why; administrators read all. Functions write. Who decided is not shown.

alter table public.verification_decisions enable row level security;
revoke all on table public.verification_decisions from public, anon, authenticated, service_role;
grant select (id, professional_id, service_id, status, note, created_at) on table public.verification_decisions to authenticated;

create policy select_own_or_admin on public.verification_decisions
for select to authenticated
using (professional_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own_or_admin on public.verification_decisions is 'Whom it is about, and administrators.';

-- policies/verification_documents.sql
-- A professional presents, administrators look. What was presented is not changed, only taken back.

alter table public.verification_documents enable row level security;
revoke all on table public.verification_documents from public, anon, authenticated, service_role;
grant select, delete, insert (id, professional_id, service_id, kind, file_name, media_type, size_bytes, sha256)
  on table public.verification_documents to authenticated;

create policy select_own_or_admin on public.verification_documents
for select to authenticated
using (professional_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own_or_admin on public.verification_documents is 'Who presents it, and administrators, who decide by it.';

create policy insert_own on public.verification_documents
for insert to authenticated
with check (
  professional_id = (select auth.uid())
  and (
    service_id is null
    or service_id = any (array(select s.id from public.support_services as s where s.professional_id = (select auth.uid())))
  )
);
comment on policy insert_own on public.verification_documents is 'For oneself and for own services.';

create policy delete_own on public.verification_documents
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.verification_documents is 'What one presented can be taken back.';
