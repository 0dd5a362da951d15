-- Notifications, as ids and a kind, never as text; the conversation and the notes of a case; cases that are handed over.

create table public.notifications (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.profiles (id) on delete cascade,
  kind text not null,
  matched_services uuid references public.matched_services (id) on delete cascade,
  appointment_id uuid references public.appointments (appointment_id) on delete cascade,
  report_id uuid references public.reports (report_id) on delete cascade,
  read_at timestamptz,
  created_at timestamptz not null default now(),
  constraint notifications_kind_known check (kind in (
    'verification_changed', 'case_reopened', 'hand_over_requested', 'hand_over_answered', 'hand_over_completed',
    'offer_made', 'offer_reminder', 'appointment_requested', 'appointment_confirmed', 'appointment_changed',
    'appointment_cancelled', 'appointment_reminder', 'message_waiting', 'completion_requested', 'completion_disputed',
    'case_closed', 'case_escalated', 'access_opened', 'calendar_needs_reauth', 'calendar_clash',
    'calendar_event_moved', 'cal_com_conflict', 'cal_com_needs_attention', 'mail_undeliverable'
  ))
);
create index notifications_user_id_idx on public.notifications (user_id, created_at desc);
create index notifications_matched_services_idx on public.notifications (matched_services) where matched_services is not null;
create index notifications_appointment_id_idx on public.notifications (appointment_id) where appointment_id is not null;
create index notifications_report_id_idx on public.notifications (report_id) where report_id is not null;
create index notifications_created_at_idx on public.notifications (created_at);
comment on table public.notifications is 'What a person should know. Own rows; ids and a kind only, so that nobody reads a story on a lock screen.';
comment on column public.notifications.id is 'Key; also the Message-ID of the mail that carries it.';
comment on column public.notifications.user_id is 'Whom it is for.';
comment on column public.notifications.kind is 'What happened; the text is the app''s or the worker''s.';
comment on column public.notifications.matched_services is 'The offer it is about.';
comment on column public.notifications.appointment_id is 'The appointment it is about.';
comment on column public.notifications.report_id is 'The report it is about.';
comment on column public.notifications.read_at is 'Set by the reader, the only thing they can change.';
comment on column public.notifications.created_at is 'When it was made.';

create table public.messages (
  id uuid primary key default gen_random_uuid(),
  matched_services uuid not null references public.matched_services (id) on delete cascade,
  sender_id uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  body text not null,
  read_at timestamptz,
  created_at timestamptz not null default now(),
  constraint messages_body_length check (length(body) between 1 and 4000)
);
create index messages_matched_services_idx on public.messages (matched_services, created_at);
create index messages_sender_id_idx on public.messages (sender_id, created_at);
alter table public.messages alter column body set statistics 0;
comment on table public.messages is 'What the two parties of an accepted case write to each other. Inserted by the sender; closed with the case.';
comment on column public.messages.id is 'Key.';
comment on column public.messages.matched_services is 'The accepted offer: the case.';
comment on column public.messages.sender_id is 'Who wrote it.';
comment on column public.messages.body is 'Plain text of 1 to 4000 characters, to be shown as text and never as HTML.';
comment on column public.messages.read_at is 'When the other party read it; set once, by them, to the present moment whatever they send.';
comment on column public.messages.created_at is 'When it was sent.';

create table public.case_notes (
  id uuid primary key default gen_random_uuid(),
  matched_services uuid not null references public.matched_services (id) on delete cascade,
  appointment_id uuid references public.appointments (appointment_id) on delete set null,
  professional_id uuid not null default auth.uid() references public.professionals (id) on delete cascade,
  body text not null,
  version integer not null default 1,
  updated_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  constraint case_notes_body_length check (length(body) between 1 and 20000),
  constraint case_notes_version_positive check (version > 0)
);
create index case_notes_matched_services_idx on public.case_notes (matched_services);
create index case_notes_appointment_id_idx on public.case_notes (appointment_id);
create index case_notes_professional_id_idx on public.case_notes (professional_id, created_at);
alter table public.case_notes alter column body set statistics 0;
comment on table public.case_notes is 'A professional''s own notes on a case they hold. The author only, nobody else; earlier versions are kept.';
comment on column public.case_notes.id is 'Key.';
comment on column public.case_notes.matched_services is 'The accepted offer: the case.';
comment on column public.case_notes.appointment_id is 'The session it is about; null for none.';
comment on column public.case_notes.professional_id is 'The author.';
comment on column public.case_notes.body is 'Plain text of 1 to 20000 characters.';
comment on column public.case_notes.version is 'Counts the changes of the body, from 1.';
comment on column public.case_notes.updated_at is 'When this version was written.';
comment on column public.case_notes.created_at is 'When the first one was.';

create table public.case_note_versions (
  note_id uuid not null references public.case_notes (id) on delete cascade,
  version integer not null,
  professional_id uuid not null references public.professionals (id) on delete cascade,
  body text not null,
  written_at timestamptz not null,
  created_at timestamptz not null default now(),
  primary key (note_id, version),
  constraint case_note_versions_body_length check (length(body) between 1 and 20000)
);
create index case_note_versions_professional_id_idx on public.case_note_versions (professional_id);
alter table public.case_note_versions alter column body set statistics 0;
comment on table public.case_note_versions is 'What a note said before it was changed. The author only; nobody changes or deletes it.';
comment on column public.case_note_versions.note_id is 'The note.';
comment on column public.case_note_versions.version is 'Which of its versions.';
comment on column public.case_note_versions.professional_id is 'The author.';
comment on column public.case_note_versions.body is 'What it said.';
comment on column public.case_note_versions.written_at is 'When that was written.';
comment on column public.case_note_versions.created_at is 'When it was replaced.';

create table private.conversation_settings (
  id boolean primary key default true check (id),
  messages_per_minute integer not null default 20 check (messages_per_minute > 0),
  messages_per_hour integer not null default 200 check (messages_per_hour > 0)
);
comment on table private.conversation_settings is 'One row: the limits of the conversation between the parties of a case.';
comment on column private.conversation_settings.id is 'Always true, so that there is one row.';
comment on column private.conversation_settings.messages_per_minute is 'By one sender, in all their cases.';
comment on column private.conversation_settings.messages_per_hour is 'By one sender, in all their cases.';
insert into private.conversation_settings default values;

create table public.hand_overs (
  id uuid primary key default gen_random_uuid(),
  matched_services uuid not null references public.matched_services (id) on delete cascade,
  survivor_id uuid not null references public.profiles (id) on delete cascade,
  from_professional_id uuid not null references public.professionals (id) on delete cascade,
  to_professional_id uuid not null references public.professionals (id) on delete cascade,
  to_service_id uuid not null references public.support_services (id) on delete cascade,
  to_name text,
  reason text,
  share_notes boolean not null default false,
  status text not null default 'requested',
  offered_match uuid references public.matched_services (id) on delete set null,
  answered_at timestamptz,
  finished_at timestamptz,
  created_at timestamptz not null default now(),
  constraint hand_overs_to_name_clean check (private.is_clean_text(to_name, 120)),
  constraint hand_overs_reason_length check (length(reason) <= 500),
  constraint hand_overs_status_known check (status in ('requested', 'consented', 'refused', 'completed', 'lapsed'))
);
create unique index hand_overs_one_open_idx on public.hand_overs (matched_services) where status in ('requested', 'consented');
create index hand_overs_matched_services_idx on public.hand_overs (matched_services);
create index hand_overs_survivor_id_idx on public.hand_overs (survivor_id);
create index hand_overs_from_professional_id_idx on public.hand_overs (from_professional_id);
create index hand_overs_to_professional_id_idx on public.hand_overs (to_professional_id);
create index hand_overs_to_service_id_idx on public.hand_overs (to_service_id);
create index hand_overs_offered_match_idx on public.hand_overs (offered_match);
alter table public.hand_overs alter column reason set statistics 0, alter column to_name set statistics 0;
comment on table public.hand_overs is 'Passing an accepted case on: asked for by its professional, consented to by the survivor, done when the other one accepts by appointment.';
comment on column public.hand_overs.id is 'Key.';
comment on column public.hand_overs.matched_services is 'The accepted offer: the case that is passed on.';
comment on column public.hand_overs.survivor_id is 'Whose consent it needs.';
comment on column public.hand_overs.from_professional_id is 'Who holds the case.';
comment on column public.hand_overs.to_professional_id is 'Who is to take it.';
comment on column public.hand_overs.to_service_id is 'With which service of theirs.';
comment on column public.hand_overs.to_name is 'Their published title when it was asked for, for the survivor to decide.';
comment on column public.hand_overs.reason is 'For the survivor to read; at most 500 characters.';
comment on column public.hand_overs.share_notes is 'Whether the author gives copies of the case notes along.';
comment on column public.hand_overs.status is 'requested, consented, refused, completed or lapsed.';
comment on column public.hand_overs.offered_match is 'The offer that was made to them after the consent.';
comment on column public.hand_overs.answered_at is 'When the survivor answered.';
comment on column public.hand_overs.finished_at is 'When it ended, one way or another.';
comment on column public.hand_overs.created_at is 'When it was asked for.';
