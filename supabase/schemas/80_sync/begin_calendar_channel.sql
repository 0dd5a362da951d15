-- A worker is about to ask a provider to tell it of changes: the channel is known before the provider's first message.
--
-- Called by the worker under the lease of a reading; readings of one calendar never overlap, so neither do openings. Channels
-- that were begun and came to nothing go. Definer: channels are private. Locks: the job, the channels that go.

create or replace function private.begin_calendar_channel(job_id bigint, lease_token uuid, token_hash text)
returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job private.outbox_jobs;
  v_channel_id uuid;
begin
  v_job := private.leased_job(job_id, lease_token);
  if v_job.kind <> 'calendar_pull' or token_hash is null or token_hash !~ '^[0-9a-f]{64}$' then
    perform private.raise_error('invalid_input', 'token_hash, or a job that is no reading');
  end if;
  delete from private.calendar_channels as n
  where n.connection_id = v_job.connection_id and n.resource_id is null and n.created_at < private.clock() - interval '1 hour';
  insert into private.calendar_channels (connection_id, token_hash)
  values (v_job.connection_id, begin_calendar_channel.token_hash)
  returning id into v_channel_id;
  return v_channel_id;
end;
$$;
comment on function private.begin_calendar_channel(bigint, uuid, text) is 'Definer: channels are private. The caller must be the worker and hold the lease.';
revoke all on function private.begin_calendar_channel(bigint, uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.begin_calendar_channel(bigint, uuid, text) to service_role;

create or replace function public.begin_calendar_channel(job_id bigint, lease_token uuid, token_hash text)
returns uuid
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.begin_calendar_channel(job_id, lease_token, token_hash);
$$;
comment on function public.begin_calendar_channel(bigint, uuid, text) is
  'Worker: makes a channel for the calendar that its job reads, with the SHA-256 of the channel''s token. → the channel''s id. Errors: invalid_transition (stale lease), invalid_input.';
revoke all on function public.begin_calendar_channel(bigint, uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_calendar_channel(bigint, uuid, text) to service_role;
