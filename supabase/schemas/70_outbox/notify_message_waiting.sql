-- Tells somebody that messages are waiting in a case, at most once in a while.
--
-- Called by the trigger of public.messages. The app hears of each message by itself; this is for whoever is not there.
-- Locks: an advisory lock of this person and case, so that two messages at once make one notification.

create or replace function private.notify_message_waiting(match_id uuid, recipient uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('sauti.message_waiting:' || match_id || ':' || recipient, 0));
  if not exists (
    select 1
    from public.notifications as n, private.message_settings as s
    where n.user_id = recipient and n.kind = 'message_waiting' and n.matched_services = match_id
      and n.created_at > private.clock() - s.message_waiting_minutes * interval '1 minute'
  ) then
    perform private.notify(array[recipient], 'message_waiting', match_id => match_id);
  end if;
end;
$$;
comment on function private.notify_message_waiting(uuid, uuid) is 'Notifies the recipient once in message_waiting_minutes for each case.';
revoke all on function private.notify_message_waiting(uuid, uuid) from public, anon, authenticated, service_role;
