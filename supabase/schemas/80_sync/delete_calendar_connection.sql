-- A person disconnects a calendar: its credentials, mappings and waiting jobs go with it.
--
-- Called by its owner. A trigger leaves a job behind that takes the events out and gives the access back.
-- Definer: connections are not writable directly. Locks: the connection's jobs, then the connection: in the order of a worker
-- that settles one.

create or replace function private.delete_calendar_connection(connection_id uuid)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
begin
  perform 1
  from private.outbox_jobs as j
  join public.calendar_connections as c on c.id = j.connection_id
  where c.id = delete_calendar_connection.connection_id and c.user_id = v_user_id and j.state in ('pending', 'running')
  order by j.id
  for update of j;
  delete from public.calendar_connections as c
  where c.id = delete_calendar_connection.connection_id and c.user_id = v_user_id;
  if not found then
    perform private.raise_error('not_found');
  end if;
end;
$$;
comment on function private.delete_calendar_connection(uuid) is 'Definer: connections are not writable directly. The caller must be its owner.';
revoke all on function private.delete_calendar_connection(uuid) from public, anon, authenticated, service_role;
grant execute on function private.delete_calendar_connection(uuid) to authenticated;

create or replace function public.delete_calendar_connection(connection_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  perform private.delete_calendar_connection(connection_id);
end;
$$;
comment on function public.delete_calendar_connection(uuid) is 'Owner: disconnects a calendar; the worker then removes its events, gives the access back and forgets the credentials. Errors: not_found.';
revoke all on function public.delete_calendar_connection(uuid) from public, anon, authenticated, service_role;
grant execute on function public.delete_calendar_connection(uuid) to anon, authenticated;
