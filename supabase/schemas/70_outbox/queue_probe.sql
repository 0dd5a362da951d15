-- A job that does nothing: whoever queues it can see whether, and how soon, a worker takes it.
--
-- Called with the service key by `sauti-sync doctor`. Definer: the outbox is private. Locks: none.

create or replace function private.queue_probe()
returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_id bigint;
begin
  perform private.require_service_role();
  insert into private.outbox_jobs (kind, dedupe_key, priority, max_attempts, run_at)
  values ('probe', 'probe:' || gen_random_uuid(), 1, 3, private.clock())
  returning id into v_id;
  return v_id;
end;
$$;
comment on function private.queue_probe() is 'Definer: the outbox is private. The caller must hold the service key.';
revoke all on function private.queue_probe() from public, anon, authenticated, service_role;
grant execute on function private.queue_probe() to service_role;

create or replace function public.queue_probe()
returns bigint
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.queue_probe();
$$;
comment on function public.queue_probe() is
  'Operators: queues a job that does nothing. → its job_id; list_jobs tells what became of it.';
revoke all on function public.queue_probe() from public, anon, authenticated, service_role;
grant execute on function public.queue_probe() to service_role;
