-- What a claimed job means right now, read under its lease.
--
-- Called by the worker just before it acts. obsolete = the reason has gone; postponed = not now (safe hours) or by
-- another channel, already put back by this call; due = everything the handler needs.
-- Definer: it reads addresses and credentials for the worker alone. Locks: the job.

create or replace function private.job_context(job_id bigint, lease_token uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job private.outbox_jobs;
  v_context jsonb;
begin
  v_job := private.leased_job(job_id, lease_token);
  v_context := case
    when v_job.kind = 'mail' and v_job.client_template is not null then private.client_mail_context(v_job)
    when v_job.kind in ('mail', 'sms') then private.message_context(v_job.notification_id)
    when v_job.tombstone_id is not null then private.tombstone_context(v_job.tombstone_id)
    when v_job.kind = 'calendar_event' then private.calendar_event_context(v_job.appointment_id, v_job.connection_id, v_job.looks_again)
    when v_job.kind = 'calendar_pull' then private.calendar_pull_context(v_job.connection_id)
    when v_job.kind = 'calendar_disconnect' then private.calendar_disconnect_context(v_job.id)
    when v_job.kind = 'probe' then '{"state": "due", "kind": "probe"}'::jsonb
  end;
  if v_job.kind in ('mail', 'sms') and v_context ->> 'state' = 'due' and v_context ->> 'kind' <> v_job.kind then
    -- The person has chosen another channel since this was queued: a worker that serves it takes the job.
    update private.outbox_jobs as j
    set kind = v_context ->> 'kind', state = 'pending', run_at = private.clock(), attempts = j.attempts - 1, lease_token = null,
      leased_until = null
    where j.id = v_job.id;
    perform private.ring_doorbell();
    return '{"state": "postponed"}'::jsonb;
  end if;
  if v_context ->> 'state' = 'postponed' then
    update private.outbox_jobs as j
    set state = 'pending', run_at = (v_context ->> 'until')::timestamptz, attempts = j.attempts - 1, lease_token = null,
      leased_until = null
    where j.id = v_job.id;
  end if;
  return coalesce(v_context, '{"state": "obsolete"}'::jsonb);
end;
$$;
comment on function private.job_context(bigint, uuid) is 'Definer: reads addresses and credentials. The caller must be the worker and hold the lease.';
revoke all on function private.job_context(bigint, uuid) from public, anon, authenticated, service_role;
grant execute on function private.job_context(bigint, uuid) to service_role;

create or replace function public.job_context(job_id bigint, lease_token uuid)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.job_context(job_id, lease_token);
$$;
comment on function public.job_context(bigint, uuid) is
  'Worker: the present state of a claimed job. → jsonb with state obsolete, postponed or due. Errors: invalid_transition (stale lease).';
revoke all on function public.job_context(bigint, uuid) from public, anon, authenticated, service_role;
grant execute on function public.job_context(bigint, uuid) to service_role;
