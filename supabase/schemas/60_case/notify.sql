-- Writes a notification; its triggers ring the person's app and queue the mail.
--
-- Called by triggers and functions of the case, with the rights of those definers. Locks: none.

create or replace function private.notify(
  user_id uuid, kind text, match_id uuid default null, appointment_id uuid default null, report_id uuid default null
)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into public.notifications (user_id, kind, matched_services, appointment_id, report_id, created_at)
  values (notify.user_id, notify.kind, notify.match_id, notify.appointment_id, notify.report_id, private.clock());
$$;
comment on function private.notify(uuid, text, uuid, uuid, uuid) is 'Notifies one person of one kind of event, by ids.';
revoke all on function private.notify(uuid, text, uuid, uuid, uuid) from public, anon, authenticated, service_role;
