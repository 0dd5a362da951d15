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
