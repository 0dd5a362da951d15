-- The baseline of supabase/schemas/60_case: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/60_case/tables.sql
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
      and m.match_status_type in ('accepted', 'completed', 'withdrawn')
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
begin
  insert into public.notifications (user_id, kind, matched_services, appointment_id, report_id, created_at)
  select person.id, notify.kind, notify.match_id, notify.appointment_id, notify.report_id, private.clock()
  from unnest(user_ids) as person (id)
  where person.id is not null;
end;
$$;
comment on function private.notify(uuid[], text, uuid, uuid, uuid) is 'Notifies each of the people of one kind of event, by ids.';
revoke all on function private.notify(uuid[], text, uuid, uuid, uuid) from public, anon, authenticated, service_role;

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
begin
  perform private.broadcast(n.user_id, 'notification', 'INSERT', 'notifications', n.id, n.kind)
  from delivered as n;
  insert into private.outbox_jobs (kind, dedupe_key, priority, notification_id, run_at)
  select case when r.user_id = n.user_id and r.contact_preference = 'sms' and r.contact_phone is not null then 'sms' else 'mail' end,
    'mail:' || n.id,
    case when m.urgency = 'high' and n.kind in ('offer_made', 'offer_reminder') then 10 else 50 end,
    n.id, private.clock()
  from delivered as n
  left join public.matched_services as m on m.id = n.matched_services
  left join public.reports as r on r.report_id = coalesce(m.report_id, n.report_id);
  return null;
end;
$$;
comment on function private.tg_notifications__deliver() is 'Definer: the outbox is private. Sends the live event and queues the message.';
revoke all on function private.tg_notifications__deliver() from public, anon, authenticated, service_role;

create trigger _900_deliver
after insert on public.notifications
referencing new table as delivered
for each statement execute function private.tg_notifications__deliver();

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
    update public.matched_services as m
    set match_status_type = 'withdrawn', closed_at = private.clock()
    where m.report_id = v_report.report_id and m.match_status_type in ('pending', 'accepted');
    update public.appointments as a
    set status = 'cancelled', cancelled_by = v_user_id
    from public.matched_services as m
    where m.report_id = v_report.report_id and a.matched_services = m.id and a.status in ('requested', 'confirmed')
      and upper(private.appointment_during(a.appointment_date, a.duration_minutes)) > private.clock();
    update private.response_clocks as c
    set settled_at = private.clock()
    where c.report_id = v_report.report_id and c.settled_at is null;
    update private.escalations as e
    set resolved_at = private.clock()
    where e.report_id = v_report.report_id and e.resolved_at is null;
    update public.reports as r
    set status = 'withdrawn', consent_to_share = false, match_status = 'pending'
    where r.report_id = v_report.report_id
    returning r.* into v_report;
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
