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
