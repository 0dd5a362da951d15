-- Notifications: what a person should know, as ids and a kind, never as text.

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
    'offer_made', 'offer_reminder', 'appointment_requested', 'appointment_confirmed', 'appointment_changed',
    'appointment_cancelled', 'appointment_reminder', 'message_waiting', 'completion_requested', 'completion_disputed',
    'case_closed', 'case_escalated', 'access_opened', 'calendar_needs_reauth', 'calendar_clash',
    'calendar_event_moved', 'cal_com_conflict', 'cal_com_needs_attention'
  ))
);
create index notifications_user_id_idx on public.notifications (user_id, created_at desc);
create index notifications_matched_services_idx on public.notifications (matched_services);
create index notifications_appointment_id_idx on public.notifications (appointment_id);
create index notifications_report_id_idx on public.notifications (report_id);
comment on table public.notifications is 'What a person should know. Own rows; ids and a kind only, so that nobody reads a story on a lock screen.';
comment on column public.notifications.id is 'Key; also the Message-ID of the mail that carries it.';
comment on column public.notifications.user_id is 'Whom it is for.';
comment on column public.notifications.kind is 'What happened; the text is the app''s or the worker''s.';
comment on column public.notifications.matched_services is 'The offer it is about.';
comment on column public.notifications.appointment_id is 'The appointment it is about.';
comment on column public.notifications.report_id is 'The report it is about.';
comment on column public.notifications.read_at is 'Set by the reader, the only thing they can change.';
comment on column public.notifications.created_at is 'When it was made.';
