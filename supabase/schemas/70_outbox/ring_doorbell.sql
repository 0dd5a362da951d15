-- Tells workers that there are jobs: on the private Realtime topic, and by NOTIFY for those with a connection of their own.
--
-- Called where jobs are added or put back. Both are hints; a lost one costs one poll interval. One ring is enough for all
-- that a transaction queues; a ring that a savepoint takes back is forgotten with it. The operator may leave Realtime out
-- (message_settings). Definer: the topic is the worker's alone. Locks: none.

create or replace function private.ring_doorbell()
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if current_setting('sauti.doorbell_rung', true) = 'yes' then
    return;
  end if;
  perform set_config('sauti.doorbell_rung', 'yes', true);
  if (select s.rings_realtime from private.message_settings as s) then
    perform realtime.send('{}'::jsonb, 'jobs', 'sauti_sync', true);
  end if;
  perform pg_notify('sauti_sync', '');
end;
$$;
comment on function private.ring_doorbell() is 'Definer: sends to the worker''s private topic as the owner.';
revoke all on function private.ring_doorbell() from public, anon, authenticated, service_role;
