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
