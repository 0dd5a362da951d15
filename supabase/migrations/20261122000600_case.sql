-- The baseline of supabase/schemas/60_case: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/60_case/tables.sql
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

-- supabase/schemas/60_case/answer_hand_over.sql
-- The survivor decides whether their case may be passed on; with their consent it is offered to the colleague.
--
-- Called by the survivor; repeated, it changes nothing. A consent can be taken back until the colleague has accepted.
-- Definer: offers are not writable directly. The masked facts are copied from the accepted offer. Locks: see lock_match.

create or replace function private.answer_hand_over(hand_over_id uuid, agrees boolean)
returns public.hand_overs
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_now timestamptz := private.clock();
  v_hand_over public.hand_overs;
  v_locked record;
  v_match public.matched_services;
begin
  select h.* into v_hand_over
  from public.hand_overs as h
  where h.id = answer_hand_over.hand_over_id and h.survivor_id = v_user_id;
  if not found then
    perform private.raise_error('not_found');
  elsif agrees is null then
    perform private.raise_error('invalid_input', 'agrees: true or false');
  end if;
  select * into v_locked from private.lock_match(v_hand_over.matched_services);
  v_match := v_locked.match;
  select h.* into v_hand_over from public.hand_overs as h where h.id = v_hand_over.id for no key update;
  if (agrees and v_hand_over.status in ('consented', 'completed')) or (not agrees and v_hand_over.status = 'refused') then
    return v_hand_over;
  elsif v_hand_over.status not in ('requested', 'consented') then
    perform private.raise_error('invalid_transition', 'This hand-over has ended.');
  elsif v_match.match_status_type <> 'accepted' then
    perform private.raise_error('case_not_open');
  end if;

  if agrees then
    insert into public.matched_services as m (
      report_id, service_id, professional_id, service_type, incident_type, urgency, gender, age_category, match_score,
      offered_at, expires_at
    )
    select v_match.report_id, s.id, s.professional_id, v_match.service_type, v_match.incident_type, v_match.urgency,
      v_match.gender, v_match.age_category, 100, v_now,
      v_now + case v_match.urgency when 'high' then t.offer_ttl_high else t.offer_ttl_others end
    from public.support_services as s
    join public.professionals as p on p.id = s.professional_id
    cross join private.matching_settings as t
    -- Since the request they may have been suspended, or blocked.
    where s.id = v_hand_over.to_service_id and s.is_active and s.verification_status = 'verified'
      and p.verification_status = 'verified'
      and not exists (
        select 1
        from public.blocked_professionals as b
        where (b.survivor_id, b.professional_id) in ((v_user_id, p.id), (p.id, v_user_id))
      )
    -- The colleague may have been offered the case before, and somebody else was faster.
    on conflict on constraint matched_services_offered_once do update
    set match_status_type = 'pending', offered_at = excluded.offered_at, expires_at = excluded.expires_at,
      responded_at = null, decline_reason = null, closed_at = null
    where m.match_status_type in ('declined', 'expired', 'superseded', 'withdrawn')
    returning m.* into v_match;
    if not found then
      perform private.raise_error('not_verified', 'The colleague cannot take the case any more.');
    end if;
    insert into public.match_breakdowns (match_id, score, parts)
    values (v_match.id, 100, '{"hand_over": 100}')
    on conflict (match_id) do nothing;
    update public.hand_overs as h
    set status = 'consented', answered_at = v_now, offered_match = v_match.id
    where h.id = v_hand_over.id
    returning h.* into v_hand_over;
    perform private.give_consent(v_user_id, v_match.report_id, array['hand_over']);
    if not exists (
      select 1
      from public.notifications as n
      where n.matched_services = v_match.id and n.kind = 'offer_made' and n.created_at = v_now
    ) then
      perform private.notify(array[v_hand_over.to_professional_id], 'offer_made', match_id => v_match.id);
    end if;
  else
    update public.hand_overs as h
    set status = 'refused', answered_at = v_now, finished_at = v_now
    where h.id = v_hand_over.id;
    update public.matched_services as m
    set match_status_type = 'withdrawn', closed_at = v_now
    where m.id = v_hand_over.offered_match and m.match_status_type = 'pending';
    update public.consents as c
    set withdrawn_at = v_now
    where c.report_id = v_match.report_id and c.purpose = 'hand_over' and c.withdrawn_at is null;
    select h.* into v_hand_over from public.hand_overs as h where h.id = v_hand_over.id;
  end if;
  perform private.record_audit(
    'hand_over_answered', v_user_id, v_user_id, jsonb_build_object('agrees', agrees),
    jsonb_build_object('hand_over_id', v_hand_over.id, 'match_id', v_hand_over.matched_services)
  );
  perform private.notify(array[v_hand_over.from_professional_id], 'hand_over_answered', match_id => v_hand_over.matched_services);
  return v_hand_over;
end;
$$;
comment on function private.answer_hand_over(uuid, boolean) is 'Definer: offers and consents are not writable directly. The caller must be the survivor of the case.';
revoke all on function private.answer_hand_over(uuid, boolean) from public, anon, authenticated, service_role;
grant execute on function private.answer_hand_over(uuid, boolean) to authenticated;

create or replace function public.answer_hand_over(hand_over_id uuid, agrees boolean)
returns public.hand_overs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.answer_hand_over(hand_over_id, agrees);
end;
$$;
comment on function public.answer_hand_over(uuid, boolean) is
  'Survivor: agrees that the case is passed on, or does not; it is then offered to the colleague, whose acceptance by appointment moves it. An agreement can be taken back until then. → the hand-over. Errors: not_found, case_not_open, invalid_transition, not_verified, invalid_input.';
revoke all on function public.answer_hand_over(uuid, boolean) from public, anon, authenticated, service_role;
grant execute on function public.answer_hand_over(uuid, boolean) to anon, authenticated;

-- supabase/schemas/60_case/archive_report.sql
-- Archives a report when no accepted and no pending offer of it is left.
--
-- Called by complete_case, under the report's lock. What still waited for a professional stops waiting. Locks: the
-- report.

create or replace function private.archive_report(report_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if exists (
    select 1
    from public.matched_services as m
    where m.report_id = archive_report.report_id and m.match_status_type in ('pending', 'accepted')
  ) then
    return;
  end if;
  update private.response_clocks as c
  set settled_at = private.clock()
  where c.report_id = archive_report.report_id and c.settled_at is null;
  update private.escalations as e
  set resolved_at = private.clock()
  where e.report_id = archive_report.report_id and e.resolved_at is null;
  update public.reports as r
  set status = 'archived', archived_at = private.clock()
  where r.report_id = archive_report.report_id and r.status <> 'archived';
end;
$$;
comment on function private.archive_report(uuid) is 'Archives the report unless an offer is still pending or accepted.';
revoke all on function private.archive_report(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/60_case/broadcast.sql
-- Rings one person's apps: a private realtime event with ids and a state.
--
-- Called by triggers, with the rights of those definers. Realtime is a hint: a lost event costs nothing but time.

create or replace function private.broadcast(user_id uuid, event text, op text, table_name text, row_id uuid, status text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform realtime.send(
    jsonb_build_object('op', op, 'table', table_name, 'id', row_id, 'status', status), event, 'user:' || user_id, true
  );
end;
$$;
comment on function private.broadcast(uuid, text, text, text, uuid, text) is 'Sends {op, table, id, status} to the private topic user:<id>. Never a name, a text or a place.';
revoke all on function private.broadcast(uuid, text, text, text, uuid, text) from public, anon, authenticated, service_role;

-- supabase/schemas/60_case/complete_case.sql
-- Dual completion: each party marks its side; with both marks the case is closed and the report archived.
--
-- Called by either party; repeated, it changes nothing. The professional's mark alone frees their capacity and boosts
-- their score, once per case. Definer: offers are not writable directly. Locks: see lock_match; then waiting reports,
-- skipping locked ones, because the professional has become free.

create or replace function private.complete_case(match_id uuid)
returns public.matched_services
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
  v_survivor_id uuid;
begin
  select r.user_id into v_survivor_id
  from public.matched_services as m
  join public.reports as r on r.report_id = m.report_id
  where m.id = complete_case.match_id and v_user_id in (m.professional_id, r.user_id);
  if not found then
    perform private.raise_error('not_found');
  end if;

  select * into v_locked from private.lock_match(match_id);
  v_match := v_locked.match;
  if v_match.match_status_type = 'completed' then
    return v_match;
  elsif (v_locked.report).status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_match.match_status_type <> 'accepted' then
    -- To a survivor, an offer that nobody accepted does not exist.
    perform private.raise_error(case when v_match.professional_id = v_user_id then 'case_not_open' else 'not_found' end);
  end if;

  if v_match.professional_id = v_user_id and v_match.professional_completed_at is null then
    update public.matched_services as m
    set professional_completed_at = v_now
    where m.id = v_match.id
    returning m.* into v_match;
    insert into private.completion_boosts (professional_id, report_id, granted_at)
    values (v_user_id, v_match.report_id, v_now)
    on conflict do nothing;
    if v_match.survivor_completed_at is null then
      perform private.notify(array[v_survivor_id], 'completion_requested', match_id => v_match.id);
    end if;
    perform private.rematch_waiting(array[v_user_id]);
  elsif v_survivor_id = v_user_id and v_match.survivor_completed_at is null then
    update public.matched_services as m
    set survivor_completed_at = v_now
    where m.id = v_match.id
    returning m.* into v_match;
    if v_match.professional_completed_at is null then
      perform private.notify(array[v_match.professional_id], 'completion_requested', match_id => v_match.id);
    end if;
  end if;

  if v_match.professional_completed_at is not null and v_match.survivor_completed_at is not null then
    update public.matched_services as m
    set match_status_type = 'completed', closed_at = v_now
    where m.id = v_match.id
    returning m.* into v_match;
    update public.appointments as a
    set status = 'cancelled', cancelled_by = v_user_id
    where a.matched_services = v_match.id and a.status in ('requested', 'confirmed') and a.appointment_date > v_now;
    perform private.notify(array[v_match.professional_id, v_survivor_id], 'case_closed', match_id => v_match.id);
    perform private.archive_report(v_match.report_id);
  end if;
  return v_match;
end;
$$;
comment on function private.complete_case(uuid) is 'Definer: offers are not writable directly. The caller must be the professional or the survivor of the case.';
revoke all on function private.complete_case(uuid) from public, anon, authenticated, service_role;
grant execute on function private.complete_case(uuid) to authenticated;

create or replace function public.complete_case(match_id uuid)
returns public.matched_services
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.complete_case(match_id);
end;
$$;
comment on function public.complete_case(uuid) is
  'Either party: marks the own side of an accepted case complete; with both marks it is closed, and the report archived when nothing is open. → the offer. Errors: not_found, case_not_open, report_withdrawn.';
revoke all on function public.complete_case(uuid) from public, anon, authenticated, service_role;
grant execute on function public.complete_case(uuid) to anon, authenticated;

-- supabase/schemas/60_case/dispute_completion.sql
-- A survivor says that the case is not finished: the professional's mark goes, and the boost with it.
--
-- Called by the survivor while they have not confirmed; repeated, it changes nothing. Definer: offers are not writable
-- directly. Locks: see lock_match.

create or replace function private.dispute_completion(match_id uuid)
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
    select 1
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.id = dispute_completion.match_id and r.user_id = v_user_id
      -- To a survivor, an offer that nobody accepted does not exist.
      and (
        m.match_status_type in ('accepted', 'completed')
        or (m.match_status_type = 'withdrawn' and m.responded_at is not null)
      )
  ) then
    perform private.raise_error('not_found');
  end if;
  select * into v_locked from private.lock_match(match_id);
  v_match := v_locked.match;
  if (v_locked.report).status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_match.match_status_type <> 'accepted' or v_match.survivor_completed_at is not null then
    perform private.raise_error('invalid_transition', 'The completion has already been confirmed.');
  elsif v_match.professional_completed_at is not null then
    update public.matched_services as m
    set professional_completed_at = null
    where m.id = v_match.id
    returning m.* into v_match;
    delete from private.completion_boosts as b
    where b.professional_id = v_match.professional_id and b.report_id = v_match.report_id
      -- The boost is given once per case; it stays while another part of the same case is marked.
      and not exists (
        select 1
        from public.matched_services as m
        where m.report_id = v_match.report_id and m.professional_id = v_match.professional_id
          and m.professional_completed_at is not null
      );
    perform private.notify(array[v_match.professional_id], 'completion_disputed', match_id => v_match.id);
  end if;
  return v_match;
end;
$$;
comment on function private.dispute_completion(uuid) is 'Definer: offers are not writable directly. The caller must be the survivor of the case.';
revoke all on function private.dispute_completion(uuid) from public, anon, authenticated, service_role;
grant execute on function private.dispute_completion(uuid) to authenticated;

create or replace function public.dispute_completion(match_id uuid)
returns public.matched_services
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.dispute_completion(match_id);
end;
$$;
comment on function public.dispute_completion(uuid) is
  'Survivor: undoes the professional''s mark of completion while it is unconfirmed; the boost goes. → the offer. Errors: not_found, invalid_transition, report_withdrawn.';
revoke all on function public.dispute_completion(uuid) from public, anon, authenticated, service_role;
grant execute on function public.dispute_completion(uuid) to anon, authenticated;

-- supabase/schemas/60_case/end_report.sql
-- Ends a report against which consent no longer stands: offers, future sessions, clocks, messages under way, the place.
--
-- Called by withdraw_report and by the erasure of an account, under their locks. Cancelling the sessions takes them out of
-- both calendars. Mail that waits is dropped; that a session is cancelled is said anew. Locks: none beyond the
-- caller's.

create or replace function private.end_report(report public.reports)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  delete from private.outbox_jobs as j
  using public.notifications as n
  left join public.matched_services as m on m.id = n.matched_services
  where j.notification_id = n.id and j.state = 'pending' and report.report_id in (n.report_id, m.report_id);
  update public.matched_services as m
  set match_status_type = 'withdrawn', closed_at = private.clock()
  where m.report_id = report.report_id and m.match_status_type in ('pending', 'accepted');
  update public.appointments as a
  set status = 'cancelled', cancelled_by = a.survivor_id
  from public.matched_services as m
  where m.report_id = report.report_id and a.matched_services = m.id and a.status in ('requested', 'confirmed')
    and upper(private.appointment_during(a.appointment_date, a.duration_minutes)) > private.clock();
  update private.response_clocks as c
  set settled_at = private.clock()
  where c.report_id = report.report_id and c.settled_at is null;
  update private.escalations as e
  set resolved_at = private.clock()
  where e.report_id = report.report_id and e.resolved_at is null;
  update public.reports as r
  set status = 'withdrawn', consent_to_share = false, consent_location = false, latitude = null, longitude = null,
    match_status = 'pending', ismatched = false
  where r.report_id = report.report_id;
end;
$$;
comment on function private.end_report(public.reports) is 'report → withdrawn, with everything that hung on it.';
revoke all on function private.end_report(public.reports) from public, anon, authenticated, service_role;

-- supabase/schemas/60_case/finish_hand_over.sql
-- The colleague accepts: the case leaves the one who held it, in the transaction of the acceptance.
--
-- Called by accept_match, under its locks, before the offer becomes accepted; does nothing for other offers. The earlier
-- holder's future sessions are cancelled and their access ends; copies of their notes go along if they said so. Locks: the
-- hand-over, the earlier offer and its appointments.

create or replace function private.finish_hand_over(match_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_hand_over public.hand_overs;
begin
  select h.* into v_hand_over
  from public.hand_overs as h
  where h.offered_match = finish_hand_over.match_id and h.status = 'consented'
  for no key update;
  if not found then
    return;
  end if;
  v_now := private.clock();
  update public.hand_overs as h set status = 'completed', finished_at = v_now where h.id = v_hand_over.id;
  update public.matched_services as m
  set match_status_type = 'withdrawn', closed_at = v_now
  where m.id = v_hand_over.matched_services;
  update public.appointments as a
  set status = 'cancelled'
  where a.matched_services = v_hand_over.matched_services and a.status in ('requested', 'confirmed')
    and upper(private.appointment_during(a.appointment_date, a.duration_minutes)) > v_now;
  perform private.record_audit(
    'hand_over_completed', v_hand_over.to_professional_id, v_hand_over.survivor_id,
    jsonb_build_object('share_notes', v_hand_over.share_notes),
    jsonb_build_object('hand_over_id', v_hand_over.id, 'match_id', finish_hand_over.match_id)
  );
  perform private.notify(
    array[v_hand_over.from_professional_id, v_hand_over.survivor_id], 'hand_over_completed',
    match_id => v_hand_over.matched_services
  );
end;
$$;
comment on function private.finish_hand_over(uuid) is 'Ends the earlier offer of a hand-over whose new offer is being accepted.';
revoke all on function private.finish_hand_over(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/60_case/has_case_access.sql
-- Whether the professional of an offer may still open its case: while it is accepted, and for a time after its end.
--
-- Called by the door to the story and by what stands behind it. The grace time is a setting of retention. Locks: none.

create or replace function private.has_case_access(match public.matched_services)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return match.match_status_type = 'accepted' or (
    match.match_status_type = 'completed' and match.closed_at + (
      select s.keep from private.retention_settings as s where s.data_class = 'case_access'
    ) > private.clock()
  );
end;
$$;
comment on function private.has_case_access(public.matched_services) is 'True for an accepted offer, and for a completed one until retention setting case_access has passed.';
revoke all on function private.has_case_access(public.matched_services) from public, anon, authenticated, service_role;

-- supabase/schemas/60_case/notify.sql
-- Notifies some people of one event; the triggers ring their apps and queue the mails, all with one statement.
--
-- Called by triggers and functions of the case, with the rights of those definers. A null among the ids is nobody.
-- Locks: none.

create or replace function private.notify(
  user_ids uuid[], kind text, match_id uuid default null, appointment_id uuid default null, report_id uuid default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
begin
  insert into public.notifications (user_id, kind, matched_services, appointment_id, report_id, created_at)
  select person.id, notify.kind, notify.match_id, notify.appointment_id, notify.report_id, v_now
  from unnest(user_ids) as person (id)
  where person.id is not null;
end;
$$;
comment on function private.notify(uuid[], text, uuid, uuid, uuid) is 'Notifies each of the people of one kind of event, by ids.';
revoke all on function private.notify(uuid[], text, uuid, uuid, uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/60_case/readable_cases.sql
-- The cases whose conversation the caller may read: as survivor, or as the professional who still has access.
--
-- Called by the policies of messages and case_notes, once for each statement. Definer: how long access lasts is a
-- private setting, and no professional reads whether a report is withdrawn. Locks: none.

create or replace function private.readable_cases()
returns uuid[]
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
begin
  return array(
    select m.id
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.professional_id = v_user_id and m.match_status_type in ('accepted', 'completed')
      and r.status <> 'withdrawn' and private.has_case_access(m)
    union all
    select m.id
    from public.reports as r
    join public.matched_services as m on m.report_id = r.report_id
    where r.user_id = v_user_id and m.match_status_type in ('accepted', 'completed')
  );
end;
$$;
comment on function private.readable_cases() is 'Definer: access depends on settings and states that the parties do not read. Ids of offers to which the caller is a party.';
revoke all on function private.readable_cases() from public, anon, authenticated, service_role;
grant execute on function private.readable_cases() to authenticated;

-- supabase/schemas/60_case/release_cases.sql
-- A professional cannot go on: every accepted case of theirs is taken from them and goes back into matching at once.
--
-- Called when verification ends, and before an account is erased; the caller holds the professional's lock. Future
-- sessions are cancelled, the response clock starts anew, administrators and the survivor are told. Locks: see
-- lock_match, survivors in the order of their ids.

create or replace function private.release_cases(professional_id uuid, service_id uuid default null)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_case record;
  v_locked record;
  v_report public.reports;
  v_released integer := 0;
begin
  for v_case in
    select m.id, m.service_type
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.professional_id = release_cases.professional_id and m.match_status_type = 'accepted'
      and (release_cases.service_id is null or m.service_id = release_cases.service_id)
    order by r.user_id, r.report_id, m.id
  loop
    select * into v_locked from private.lock_match(v_case.id);
    continue when (v_locked.match).match_status_type <> 'accepted';
    select r.* into v_report from public.reports as r where r.report_id = (v_locked.match).report_id;
    update public.matched_services as m set match_status_type = 'withdrawn', closed_at = v_now where m.id = v_case.id;
    update public.appointments as a
    set status = 'cancelled'
    where a.matched_services = v_case.id and a.status in ('requested', 'confirmed')
      and upper(private.appointment_during(a.appointment_date, a.duration_minutes)) > v_now;
    insert into private.response_clocks as c (report_id, service_type, urgency, started_at, searched_at)
    values (v_report.report_id, v_case.service_type, v_report.urgency, v_now, v_now)
    on conflict on constraint response_clocks_pkey do update
    set started_at = v_now, searched_at = v_now, nudged_at = null, widened_at = null, opened_at = null, escalated_at = null,
      settled_at = null;
    if not exists (
      select 1
      from public.matched_services as m
      where m.report_id = v_report.report_id and m.match_status_type in ('accepted', 'completed')
    ) then
      update public.reports as r
      set status = 'pending', ismatched = false
      where r.report_id = v_report.report_id
      returning r.* into v_report;
    end if;
    perform private.escalate(v_report, v_case.service_type, 'professional_left');
    -- The clock goes on all the same: what was escalated may still find somebody by itself.
    update private.response_clocks as c
    set escalated_at = null
    where c.report_id = v_report.report_id and c.service_type = v_case.service_type;
    perform private.make_offers(v_report, v_case.service_type, private.offers_wanted(v_report.urgency));
    perform private.update_match_status(v_report.report_id);
    perform private.notify(array[v_report.user_id], 'case_reopened', report_id => v_report.report_id);
    v_released := v_released + 1;
  end loop;
  return v_released;
end;
$$;
comment on function private.release_cases(uuid, uuid) is 'Ends the professional''s accepted cases (of one service, or all), escalates them as professional_left and matches them again; gives back how many.';
revoke all on function private.release_cases(uuid, uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/60_case/request_hand_over.sql
-- A professional asks to pass an accepted case on to a colleague; nothing moves before the survivor has agreed.
--
-- Called by the professional who holds it; repeated, it gives the same request. Whoever could not be offered the case (not
-- verified, another kind of help, blocked either way) is not found. Definer: it reads the survivor's blocks. Locks: see
-- lock_match.

create or replace function private.request_hand_over(match_id uuid, service_id uuid, share_notes boolean, reason text)
returns public.hand_overs
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_locked record;
  v_hand_over public.hand_overs;
  v_to public.professionals;
begin
  if not exists (
    select 1 from public.matched_services as m where m.id = request_hand_over.match_id and m.professional_id = v_user_id
  ) then
    perform private.raise_error('not_found');
  elsif length(reason) > 500 then
    perform private.raise_error('invalid_input', 'reason: at most 500 characters');
  elsif share_notes is null then
    perform private.raise_error('invalid_input', 'share_notes: true or false');
  end if;
  select * into v_locked from private.lock_match(match_id);
  if (v_locked.report).status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif (v_locked.match).match_status_type <> 'accepted' then
    perform private.raise_error('case_not_open');
  elsif not exists (
    select 1 from public.professionals as p where p.id = v_user_id and p.verification_status = 'verified'
  ) then
    perform private.raise_error('not_verified');
  end if;
  select h.* into v_hand_over
  from public.hand_overs as h
  where h.matched_services = request_hand_over.match_id and h.status in ('requested', 'consented');
  if found then
    if v_hand_over.to_service_id = service_id and v_hand_over.share_notes = share_notes then
      return v_hand_over;
    end if;
    perform private.raise_error('invalid_transition', 'Another hand-over of this case is under way.');
  end if;
  select p.* into v_to
  from public.support_services as s
  join public.professionals as p on p.id = s.professional_id
  where s.id = request_hand_over.service_id
    and s.service_type = (v_locked.match).service_type and s.is_active and s.verification_status = 'verified'
    and p.verification_status = 'verified' and p.id not in (v_user_id, (v_locked.report).user_id)
    and not exists (
      select 1
      from public.blocked_professionals as b
      where (b.survivor_id, b.professional_id) in (((v_locked.report).user_id, p.id), (p.id, (v_locked.report).user_id))
    );
  if not found then
    perform private.raise_error('not_found', 'There is no such service that could take this case.');
  end if;
  insert into public.hand_overs (
    matched_services, survivor_id, from_professional_id, to_professional_id, to_service_id, to_name, reason, share_notes,
    created_at
  )
  values (
    request_hand_over.match_id, (v_locked.report).user_id, v_user_id, v_to.id, request_hand_over.service_id,
    v_to.professional_title, request_hand_over.reason, request_hand_over.share_notes, private.clock()
  )
  returning * into v_hand_over;
  perform private.record_audit(
    'hand_over_requested', v_user_id, v_hand_over.survivor_id, jsonb_build_object('share_notes', share_notes),
    jsonb_build_object('hand_over_id', v_hand_over.id, 'match_id', request_hand_over.match_id)
  );
  perform private.notify(array[v_hand_over.survivor_id], 'hand_over_requested', match_id => request_hand_over.match_id);
  return v_hand_over;
end;
$$;
comment on function private.request_hand_over(uuid, uuid, boolean, text) is 'Definer: reads blocks and services of others. The caller must hold the case.';
revoke all on function private.request_hand_over(uuid, uuid, boolean, text) from public, anon, authenticated, service_role;
grant execute on function private.request_hand_over(uuid, uuid, boolean, text) to authenticated;

create or replace function public.request_hand_over(
  match_id uuid, service_id uuid, share_notes boolean default false, reason text default null
)
returns public.hand_overs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.request_hand_over(match_id, service_id, share_notes, reason);
end;
$$;
comment on function public.request_hand_over(uuid, uuid, boolean, text) is
  'Professional who accepted: asks to pass the case on to a colleague''s service of the same kind; with share_notes the own notes are copied along. The survivor decides. → the hand-over. Errors: not_found, case_not_open, report_withdrawn, not_verified, invalid_transition, invalid_input.';
revoke all on function public.request_hand_over(uuid, uuid, boolean, text) from public, anon, authenticated, service_role;
grant execute on function public.request_hand_over(uuid, uuid, boolean, text) to anon, authenticated;

-- supabase/schemas/60_case/service_stages.sql
-- How far each required service of a report has come, in words for the survivor.
--
-- Called by the view public.report_progress. Definer: pending offers are hidden from survivors, but not that there are
-- some. Gives null to anybody but the survivor. Locks: none.

create or replace function private.service_stages(report_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_report public.reports;
begin
  select r.* into v_report from public.reports as r where r.report_id = service_stages.report_id and r.user_id = auth.uid();
  if not found then
    return null;
  end if;
  return (
    select jsonb_object_agg(required.service_type, case
      when v_report.status = 'withdrawn' then 'withdrawn'
      when holder.match_status_type = 'completed' or v_report.status = 'archived' then 'archived'
      when holder.professional_completed_at is not null or holder.survivor_completed_at is not null then 'awaiting_confirmation'
      when holder.id is not null and exists (
        select 1 from public.appointments as a where a.matched_services = holder.id and a.status = 'completed'
      ) then 'session_completed'
      when holder.id is not null then 'accepted_scheduled'
      -- As update_match_status: silence comes before open offers, want of candidates after them.
      when exists (
        select 1 from private.escalations as e
        where e.report_id = v_report.report_id and e.service_type = required.service_type and e.resolved_at is null
          and e.reason = 'no_answer'
      ) then 'escalated'
      when exists (
        select 1 from public.matched_services as m
        where m.report_id = v_report.report_id and m.service_type = required.service_type and m.match_status_type = 'pending'
      ) then 'matched'
      when exists (
        select 1 from private.escalations as e
        where e.report_id = v_report.report_id and e.service_type = required.service_type and e.resolved_at is null
      ) then 'escalated'
      else 'created'
    end)
    from unnest(v_report.required_services) as required (service_type)
    left join public.matched_services as holder
      on holder.report_id = v_report.report_id and holder.service_type = required.service_type
      and holder.match_status_type in ('accepted', 'completed')
  );
end;
$$;
comment on function private.service_stages(uuid) is 'Definer: survivors do not read pending offers. {service type: stage} of an own report, null for anybody else''s.';
revoke all on function private.service_stages(uuid) from public, anon, authenticated, service_role;
grant execute on function private.service_stages(uuid) to authenticated;

-- supabase/schemas/60_case/tg_case_notes__admit.sql
-- Lets a note in: its author holds the case, and the session it names is one of that case.
--
-- Called by: insert and update on public.case_notes. Definer: it reads the report's state. Somebody else's case and a
-- missing one are the same answer. Locks: the report, shared, against its withdrawal.

create or replace function private.tg_case_notes__admit()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_match public.matched_services;
  v_status public.report_status;
begin
  if new.body is null or new.body !~ '[^[:space:]]' or length(new.body) > 20000 then
    perform private.raise_error('invalid_input', 'body: 1 to 20000 characters.');
  end if;
  select r.status into v_status
  from public.matched_services as m
  join public.reports as r on r.report_id = m.report_id
  where m.id = new.matched_services and m.professional_id = new.professional_id
    and new.professional_id = coalesce(auth.uid(), new.professional_id)
  for share of r;
  if not found then
    perform private.raise_error('not_found');
  end if;
  select m.* into v_match from public.matched_services as m where m.id = new.matched_services;
  if v_status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif not private.has_case_access(v_match) then
    perform private.raise_error('case_not_open');
  elsif new.appointment_id is not null and not exists (
    select 1
    from public.appointments as a
    where a.appointment_id = new.appointment_id and a.matched_services = new.matched_services
  ) then
    perform private.raise_error('not_found', 'There is no such session of this case.');
  end if;
  if tg_op = 'INSERT' then
    new.version := 1;
    new.created_at := private.clock();
    new.updated_at := private.clock();
  else
    insert into public.case_note_versions (note_id, version, professional_id, body, written_at)
    values (old.id, old.version, old.professional_id, old.body, old.updated_at);
    new.version := old.version + 1;
    new.updated_at := private.clock();
  end if;
  return new;
end;
$$;
comment on function private.tg_case_notes__admit() is 'Definer: reads the state of the case and keeps the version before. Raises not_found, case_not_open, report_withdrawn or invalid_input.';
revoke all on function private.tg_case_notes__admit() from public, anon, authenticated, service_role;

create trigger _100_admit_insert
before insert on public.case_notes
for each row execute function private.tg_case_notes__admit();

create trigger _100_admit_update
before update of body on public.case_notes
for each row
when (old.body is distinct from new.body)
execute function private.tg_case_notes__admit();

-- supabase/schemas/60_case/tg_matched_services__settle_hand_over.sql
-- What happens to an offer is followed by the hand-over that hangs on it.
--
-- Called by: update on public.matched_services. An offered colleague who accepted gets the copies of shared notes; one who
-- did not ends the hand-over; so does the end of the case itself. Definer: notes are their author's. Locks: the
-- hand-over.

create or replace function private.tg_matched_services__settle_hand_over()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_hand_over public.hand_overs;
begin
  if new.match_status_type = 'accepted' then
    select h.* into v_hand_over
    from public.hand_overs as h
    where h.offered_match = new.id and h.status = 'completed' and h.finished_at = new.responded_at and h.share_notes;
    if found then
      insert into public.case_notes (matched_services, professional_id, body)
      select new.id, new.professional_id, n.body
      from public.case_notes as n
      where n.matched_services = v_hand_over.matched_services and n.professional_id = v_hand_over.from_professional_id
      order by n.created_at;
    end if;
    return null;
  end if;
  for v_hand_over in
    update public.hand_overs as h
    set status = 'lapsed', finished_at = private.clock()
    where h.status in ('requested', 'consented') and (h.offered_match = new.id or h.matched_services = new.id)
    returning h.*
  loop
    update public.matched_services as m
    set match_status_type = 'withdrawn', closed_at = private.clock()
    where m.id = v_hand_over.offered_match and m.match_status_type = 'pending';
    update public.consents as c
    set withdrawn_at = greatest(private.clock(), c.given_at)
    where c.report_id = new.report_id and c.purpose = 'hand_over' and c.withdrawn_at is null;
    perform private.notify(
      array[v_hand_over.from_professional_id, v_hand_over.survivor_id], 'hand_over_answered',
      match_id => v_hand_over.matched_services
    );
  end loop;
  return null;
end;
$$;
comment on function private.tg_matched_services__settle_hand_over() is 'Definer: hand-overs, offers and other people''s notes are not writable directly.';
revoke all on function private.tg_matched_services__settle_hand_over() from public, anon, authenticated, service_role;

create trigger _700_settle_hand_over
after update of match_status_type on public.matched_services
for each row
when (
  old.match_status_type <> new.match_status_type and old.match_status_type in ('pending', 'accepted')
)
execute function private.tg_matched_services__settle_hand_over();

-- supabase/schemas/60_case/tg_messages__admit.sql
-- Lets a message in: the sender is a party of an open case, the text is short, and not too many came before it.
--
-- Called by: insert on public.messages. Definer: it reads the report's state. Somebody else's case and a missing one are
-- the same answer. Locks: the sender's counter (advisory), then the report, shared, against its withdrawal.

create or replace function private.tg_messages__admit()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_match public.matched_services;
  v_status public.report_status;
  v_settings private.conversation_settings;
begin
  if new.body is null or new.body !~ '[^[:space:]]' or length(new.body) > 4000 then
    perform private.raise_error('invalid_input', 'body: 1 to 4000 characters.');
  end if;
  select m.* into v_match
  from public.matched_services as m
  join public.reports as r on r.report_id = m.report_id
  where m.id = new.matched_services and new.sender_id in (m.professional_id, r.user_id)
    and new.sender_id = coalesce(auth.uid(), new.sender_id)
    -- To a survivor, an offer that nobody accepted does not exist.
    and (
      m.professional_id = new.sender_id or m.match_status_type in ('accepted', 'completed')
      or (m.match_status_type = 'withdrawn' and m.responded_at is not null)
    );
  if not found then
    perform private.raise_error('not_found');
  end if;
  perform pg_advisory_xact_lock(hashtextextended('sauti.messages:' || new.sender_id, 0));
  select r.status into v_status from public.reports as r where r.report_id = v_match.report_id for share;
  select m.* into v_match from public.matched_services as m where m.id = v_match.id;
  if v_status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_match.match_status_type is distinct from 'accepted' then
    perform private.raise_error('case_not_open', 'The conversation is open while the case is.');
  end if;
  select s.* into v_settings from private.conversation_settings as s;
  if (
    select count(*) >= v_settings.messages_per_hour
      or count(*) filter (where m.created_at > private.clock() - interval '1 minute') >= v_settings.messages_per_minute
    from public.messages as m
    where m.sender_id = new.sender_id and m.created_at > private.clock() - interval '1 hour'
  ) then
    perform private.raise_error('too_many_requests', 'Too many messages.', 'Wait a minute before writing again.');
  end if;
  new.read_at := null;
  new.created_at := private.clock();
  return new;
end;
$$;
comment on function private.tg_messages__admit() is 'Definer: reads the state of the case. Raises not_found, case_not_open, report_withdrawn, invalid_input or too_many_requests.';
revoke all on function private.tg_messages__admit() from public, anon, authenticated, service_role;

create trigger _100_admit
before insert on public.messages
for each row execute function private.tg_messages__admit();

-- supabase/schemas/60_case/tg_messages__deliver.sql
-- A new message rings both parties' apps; the reader is notified, but not for every message.
--
-- Called by: insert on public.messages. Definer: events and notifications are written for somebody else. The event holds
-- ids only. Locks: see notify_message_waiting.

create or replace function private.tg_messages__deliver()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_reader_id uuid;
begin
  select case when m.professional_id = new.sender_id then r.user_id else m.professional_id end into v_reader_id
  from public.matched_services as m
  join public.reports as r on r.report_id = m.report_id
  where m.id = new.matched_services;
  perform private.broadcast(party.id, 'message', 'INSERT', 'messages', new.id, 'sent')
  from unnest(array[v_reader_id, new.sender_id]) as party (id);
  perform private.notify_message_waiting(new.matched_services, v_reader_id);
  return null;
end;
$$;
comment on function private.tg_messages__deliver() is 'Definer: writes live events and, at most once in a while, a notification for the reader.';
revoke all on function private.tg_messages__deliver() from public, anon, authenticated, service_role;

create trigger _900_deliver
after insert on public.messages
for each row execute function private.tg_messages__deliver();

-- supabase/schemas/60_case/tg_messages__mark_read.sql
-- A message is read once, at the moment at which its reader says so; it never becomes unread.
--
-- Called by: update on public.messages, by the reader (the policy) and of read_at only (the grant). Locks: none.

create or replace function private.tg_messages__mark_read()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  new.read_at := coalesce(old.read_at, private.clock());
  return new;
end;
$$;
comment on function private.tg_messages__mark_read() is 'Sets read_at to the present moment, once.';
revoke all on function private.tg_messages__mark_read() from public, anon, authenticated, service_role;

create trigger _100_mark_read
before update of read_at on public.messages
for each row execute function private.tg_messages__mark_read();

-- supabase/schemas/60_case/tg_messages__tell_read.sql
-- The sender's app hears that a message was read, and the reader's waiting notification is done with.
--
-- Called by: update on public.messages. Definer: events and notifications are written for somebody else. Locks: the
-- notification.

create or replace function private.tg_messages__tell_read()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.broadcast(new.sender_id, 'message', 'UPDATE', 'messages', new.id, 'read');
  update public.notifications as n
  set read_at = new.read_at
  where n.matched_services = new.matched_services and n.kind = 'message_waiting' and n.user_id <> new.sender_id
    and n.read_at is null
    and not exists (
      select 1
      from public.messages as m
      where m.matched_services = new.matched_services and m.sender_id = new.sender_id and m.read_at is null
    );
  return null;
end;
$$;
comment on function private.tg_messages__tell_read() is 'Definer: tells the sender, and marks the reader''s notification as read when nothing is left unread.';
revoke all on function private.tg_messages__tell_read() from public, anon, authenticated, service_role;

create trigger _900_tell_read
after update of read_at on public.messages
for each row
when (old.read_at is null and new.read_at is not null)
execute function private.tg_messages__tell_read();

-- supabase/schemas/60_case/tg_notifications__deliver.sql
-- A notification rings the person's apps, and a job for its message is queued in the same transaction.
--
-- Called by: insert on public.notifications, once per statement. Definer: it writes the outbox. Whether the
-- message may really go, by which channel and where, is decided when it is sent (job_context); the kind chosen here
-- only spares a detour. An urgent offer goes first.

create or replace function private.tg_notifications__deliver()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
begin
  perform private.broadcast(n.user_id, 'notification', 'INSERT', 'notifications', n.id, n.kind)
  from delivered as n;
  insert into private.outbox_jobs (kind, dedupe_key, priority, notification_id, run_at)
  select case when r.user_id = n.user_id and r.contact_preference = 'sms' and r.contact_phone is not null then 'sms' else 'mail' end,
    'mail:' || n.id,
    case when m.urgency = 'high' and n.kind in ('offer_made', 'offer_reminder') then 10 else 50 end,
    n.id, v_now
  from delivered as n
  -- One row looked up for each, whatever was known of the tables' sizes when this was planned: hashing reads them whole.
  left join lateral (
    select o.report_id, o.urgency from public.matched_services as o where o.id = n.matched_services limit 1
  ) as m on true
  left join lateral (
    select f.user_id, f.contact_preference, f.contact_phone
    from public.reports as f where f.report_id = coalesce(m.report_id, n.report_id) limit 1
  ) as r on true;
  return null;
end;
$$;
comment on function private.tg_notifications__deliver() is 'Definer: the outbox is private. Sends the live event and queues the message.';
revoke all on function private.tg_notifications__deliver() from public, anon, authenticated, service_role;

create trigger _900_deliver
after insert on public.notifications
referencing new table as delivered
for each statement execute function private.tg_notifications__deliver();

-- supabase/schemas/60_case/tg_professionals__release_cases.sql
-- A professional who is no longer verified loses their cases to others, in the same transaction.
--
-- Called by: update on public.professionals. Definer: offers and appointments are not writable directly. Locks: see
-- release_cases.

create or replace function private.tg_professionals__release_cases()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.release_cases(new.id);
  return null;
end;
$$;
comment on function private.tg_professionals__release_cases() is 'Definer: offers are not writable directly. Hands the accepted cases over.';
revoke all on function private.tg_professionals__release_cases() from public, anon, authenticated, service_role;

create trigger _600_release_cases
after update of verification_status on public.professionals
for each row
when (old.verification_status = 'verified' and new.verification_status <> 'verified')
execute function private.tg_professionals__release_cases();

-- supabase/schemas/60_case/tg_support_services__release_cases.sql
-- A service that is no longer verified loses its cases to others, in the same transaction.
--
-- Called by: update on public.support_services. Definer: offers and appointments are not writable directly. Locks: the
-- professional, then see release_cases.

create or replace function private.tg_support_services__release_cases()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.release_cases(new.professional_id, new.id);
  return null;
end;
$$;
comment on function private.tg_support_services__release_cases() is 'Definer: offers are not writable directly. Hands the accepted cases of the service over.';
revoke all on function private.tg_support_services__release_cases() from public, anon, authenticated, service_role;

create trigger _600_release_cases
after update of verification_status on public.support_services
for each row
when (old.verification_status = 'verified' and new.verification_status <> 'verified')
execute function private.tg_support_services__release_cases();

-- supabase/schemas/60_case/withdraw_report.sql
-- A survivor withdraws consent: every professional's access ends in this transaction, and the future is cancelled.
--
-- Called by the survivor, for an archived report too; a second call changes nothing. Definer: offers and appointments
-- are not writable directly. Locks: the professionals who hold live appointments of the report, in the order of their
-- ids, then survivor, report.

create or replace function private.withdraw_report(report_id uuid)
returns public.reports
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_report public.reports;
begin
  if not exists (
    select 1 from public.reports as r where r.report_id = withdraw_report.report_id and r.user_id = v_user_id
  ) then
    perform private.raise_error('not_found');
  end if;
  perform 1
  from public.professionals as p
  where p.id in (
    select m.professional_id from public.matched_services as m where m.report_id = withdraw_report.report_id
  )
  order by p.id
  for no key update;
  perform 1 from public.profiles as p where p.id = v_user_id for no key update;
  select r.* into v_report from public.reports as r where r.report_id = withdraw_report.report_id for no key update;
  if v_report.status <> 'withdrawn' then
    perform private.end_report(v_report);
    select r.* into v_report from public.reports as r where r.report_id = v_report.report_id;
  end if;
  return v_report;
end;
$$;
comment on function private.withdraw_report(uuid) is 'Definer: offers and appointments are not writable directly. The caller must be the survivor.';
revoke all on function private.withdraw_report(uuid) from public, anon, authenticated, service_role;
grant execute on function private.withdraw_report(uuid) to authenticated;

create or replace function public.withdraw_report(report_id uuid)
returns public.reports
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.withdraw_report(report_id);
end;
$$;
comment on function public.withdraw_report(uuid) is
  'Survivor: withdraws consent; offers and future appointments end and every professional''s access with them. → the report. Errors: not_found.';
revoke all on function public.withdraw_report(uuid) from public, anon, authenticated, service_role;
grant execute on function public.withdraw_report(uuid) to anon, authenticated;

-- supabase/schemas/60_case/report_progress.sql
-- How far my reports have come: one row for each, for the survivor's own screen.
--
-- Read by: the survivor, through the policies of the tables. The stage of a report is that of the service furthest
-- from its end among those in hand. Locks: none.

create or replace view public.report_progress
with (security_invoker = true)
as
select r.report_id,
  case
    when r.status = 'withdrawn' then 'withdrawn'
    when r.status = 'archived' then 'archived'
    when stages.services @? '$.* ? (@ == "awaiting_confirmation")' then 'awaiting_confirmation'
    when stages.services @? '$.* ? (@ == "session_completed")' then 'session_completed'
    when stages.services @? '$.* ? (@ == "accepted_scheduled")' then 'accepted_scheduled'
    when r.match_status = 'escalated' then 'escalated'
    when stages.services @? '$.* ? (@ == "matched")' then 'matched'
    else 'created'
  end as stage,
  stages.services,
  next_session.appointment_id as next_appointment_id,
  next_session.appointment_date as next_appointment_date,
  held.completed_sessions
from public.reports as r
cross join lateral (select private.service_stages(r.report_id) as services) as stages
left join lateral (
  select a.appointment_id, a.appointment_date
  from public.matched_services as m
  join public.appointments as a on a.matched_services = m.id
  where m.report_id = r.report_id and a.status in ('requested', 'confirmed') and a.appointment_date >= private.clock()
  order by a.appointment_date
  limit 1
) as next_session on true
cross join lateral (
  select count(*)::integer as completed_sessions
  from public.matched_services as m
  join public.appointments as a on a.matched_services = m.id
  where m.report_id = r.report_id and a.status = 'completed'
) as held;
comment on view public.report_progress is 'Stage of each of my reports and of each service asked for, the next appointment, and how many sessions were held.';
comment on column public.report_progress.report_id is 'The report.';
comment on column public.report_progress.stage is 'created, matched, accepted_scheduled, session_completed, awaiting_confirmation, archived, withdrawn or escalated.';
comment on column public.report_progress.services is '{service type: stage}.';
comment on column public.report_progress.next_appointment_id is 'The next live appointment.';
comment on column public.report_progress.next_appointment_date is 'When it starts.';
comment on column public.report_progress.completed_sessions is 'How many sessions were held.';
