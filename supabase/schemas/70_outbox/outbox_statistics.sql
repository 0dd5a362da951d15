-- How the outbox stands: counts and the age of the oldest due job.
--
-- Called by the worker for its metrics. Definer: the outbox is private. Locks: none.

create or replace function private.outbox_statistics()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  return (
    select jsonb_build_object(
      'pending', count(*),
      -- Each state is counted by the index of its own: in one scan of both, the jobs that are kept would be read too.
      'running', (select count(*) from private.outbox_jobs as r where r.state = 'running'),
      'dead', (select count(*) from private.outbox_jobs as d where d.state = 'dead'),
      'oldest_pending_seconds', coalesce(
        extract(epoch from private.clock() - min(j.run_at) filter (where j.run_at <= private.clock())), 0
      )
    )
    from private.outbox_jobs as j
    where j.state = 'pending'
  );
end;
$$;
comment on function private.outbox_statistics() is 'Definer: the outbox is private. The caller must hold the service key.';
revoke all on function private.outbox_statistics() from public, anon, authenticated, service_role;
grant execute on function private.outbox_statistics() to service_role;

create or replace function public.outbox_statistics()
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select private.outbox_statistics();
$$;
comment on function public.outbox_statistics() is
  'Operators: {pending, running, dead, oldest_pending_seconds}.';
revoke all on function public.outbox_statistics() from public, anon, authenticated, service_role;
grant execute on function public.outbox_statistics() to service_role;
