-- A connection that goes leaves a job behind: the worker takes its events out of the calendar and gives the access back.
--
-- Called by: delete on public.calendar_connections, also when the person's account is erased. A running job may be writing
-- an event just now, and what an earlier attempt has sent may still arrive; both count as standing there, and the cleaning
-- waits for them. Definer: credentials and the outbox are private.

create or replace function private.tg_calendar_connections__retire()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_ciphertext text;
  v_job_id bigint;
begin
  select k.ciphertext into v_ciphertext from private.calendar_credentials as k where k.connection_id = old.id;
  if v_ciphertext is null then
    return old;
  end if;
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, priority, run_at)
  values (
    'calendar_disconnect', 'disconnect:' || old.id, 'disconnect:' || old.user_id || ':' || old.provider, 60,
    greatest(private.clock(), private.doubtful_until(old.id))
  )
  returning id into v_job_id;
  insert into private.calendar_retirements (job_id, user_id, provider, account_label, calendar_id, ciphertext, events, channels)
  select v_job_id, old.user_id, old.provider, old.account_label, old.calendar_id, v_ciphertext,
    coalesce(jsonb_agg(jsonb_build_object('appointment_id', s.appointment_id, 'external_event_id', s.external_event_id)), '[]'),
    (
      select coalesce(jsonb_agg(jsonb_build_object('channel_id', n.id, 'resource_id', n.resource_id)), '[]')
      from private.calendar_channels as n
      where n.connection_id = old.id and n.resource_id is not null
    )
  from (
    select e.appointment_id, e.external_event_id
    from public.calendar_events as e
    where e.connection_id = old.id and e.sync_status not in ('removed', 'dismissed')
    union
    select j.appointment_id, null
    from private.outbox_jobs as j
    where j.connection_id = old.id and private.is_in_doubt(j) and not exists (
      select 1
      from public.calendar_events as e
      where e.appointment_id = j.appointment_id and e.connection_id = old.id and e.sync_status not in ('removed', 'dismissed')
    )
  ) as s;
  return old;
end;
$$;
comment on function private.tg_calendar_connections__retire() is 'Definer: credentials and the outbox are private. Queues a job of kind calendar_disconnect.';
revoke all on function private.tg_calendar_connections__retire() from public, anon, authenticated, service_role;

create trigger _100_retire
before delete on public.calendar_connections
for each row execute function private.tg_calendar_connections__retire();
