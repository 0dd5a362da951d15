-- Remembers why a calendar could not be brought up to date; expired credentials stop the connection and tell its owner.
--
-- Called by fail_job and finish_token_refresh; without an appointment a reading has failed, and the next one waits longer.
-- Locks: the connection and the mapping row.

create or replace function private.record_calendar_failure(appointment_id uuid, connection_id uuid, error text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid;
begin
  insert into public.calendar_events as e (appointment_id, connection_id, provider, sync_status, last_error)
  select record_calendar_failure.appointment_id, c.id, c.provider, 'failed', record_calendar_failure.error
  from public.calendar_connections as c
  where c.id = record_calendar_failure.connection_id and record_calendar_failure.appointment_id is not null
  on conflict on constraint calendar_events_pkey do update
  set sync_status = case when e.sync_status in ('synced', 'removed') then e.sync_status else 'failed' end,
    last_error = excluded.last_error;

  update private.calendar_pulls as p
  set failures = p.failures + 1,
    next_at = private.clock() + least(make_interval(mins => s.pull_minutes) * power(2, least(p.failures, 12)), interval '1 day')
  from private.calendar_settings as s
  where p.connection_id = record_calendar_failure.connection_id and record_calendar_failure.appointment_id is null;

  update public.calendar_connections as c
  set last_error = record_calendar_failure.error,
    status = case when record_calendar_failure.error = 'needs_reauth' then 'needs_reauth' else c.status end
  from public.calendar_connections as before
  where c.id = record_calendar_failure.connection_id and before.id = c.id
  returning case when c.status = 'needs_reauth' and before.status <> 'needs_reauth' then c.user_id end into v_user_id;
  if v_user_id is not null then
    perform private.notify(array[v_user_id], 'calendar_needs_reauth');
  end if;
end;
$$;
comment on function private.record_calendar_failure(uuid, uuid, text) is 'error is a symbol; needs_reauth stops the connection and notifies its owner once.';
revoke all on function private.record_calendar_failure(uuid, uuid, text) from public, anon, authenticated, service_role;
