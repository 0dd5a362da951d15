-- Everything that happens because time passes: offers and requests expire, people are reminded, the response clock
-- advances, old jobs are pruned.
--
-- Called by the worker at every poll. One worker at a time does it; the others find the lock taken and go on. Bounded
-- work, so that a long backlog is done over several polls. Definer: it acts on every case. Locks: an advisory lock,
-- then report rows with skip locked.

create or replace function private.run_due_timers()
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  if not pg_try_advisory_xact_lock(hashtext('sauti.run_due_timers')) then
    return '{"busy": true}'::jsonb;
  end if;
  perform private.publish_statistics();
  perform private.seal_audit_log(5000);
  delete from private.booking_counters as b where b.window_ends_at <= private.clock();
  return jsonb_build_object(
    'expired', private.expire_offers(200),
    'requests_expired', private.expire_requests(200),
    'reminded', private.send_reminders(200),
    'pulls', private.schedule_calendar_pulls(200),
    'pruned', private.prune_jobs(1000),
    'purged', private.purge_expired(200)
  ) || private.advance_response_clocks(200);
end;
$$;
comment on function private.run_due_timers() is 'Definer: acts on every case. The caller must be the worker.';
revoke all on function private.run_due_timers() from public, anon, authenticated, service_role;
grant execute on function private.run_due_timers() to service_role;

create or replace function public.run_due_timers()
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.run_due_timers();
$$;
comment on function public.run_due_timers() is
  'Worker: takes every step that is due, of the response clock and of requests that nobody confirmed. → jsonb counts: expired, requests_expired, reminded, pulls, pruned, purged, nudged, widened, opened, escalated, searched.';
revoke all on function public.run_due_timers() from public, anon, authenticated, service_role;
grant execute on function public.run_due_timers() to service_role;
