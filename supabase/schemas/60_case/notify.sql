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
