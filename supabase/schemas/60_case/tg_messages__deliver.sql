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
