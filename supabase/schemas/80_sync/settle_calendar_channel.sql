-- A channel is open until a moment, or there is none any more.
--
-- Called by the worker under the lease of a reading, after the provider's answer. Without a resource the channel is
-- forgotten: it was refused, or stopped. Definer: channels are private. Locks: the job, the channel.

create or replace function private.settle_calendar_channel(
  job_id bigint, lease_token uuid, channel_id uuid, resource_id text, expires_at timestamptz
)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job private.outbox_jobs;
begin
  v_job := private.leased_job(job_id, lease_token);
  if (resource_id is null) <> (expires_at is null) or length(resource_id) not between 1 and 500 then
    perform private.raise_error('invalid_input', 'resource_id and expires_at: both or none.');
  end if;
  if resource_id is null then
    delete from private.calendar_channels as n
    where n.id = settle_calendar_channel.channel_id and n.connection_id = v_job.connection_id;
    return;
  end if;
  update private.calendar_channels as n
  set resource_id = settle_calendar_channel.resource_id,
    expires_at = least(settle_calendar_channel.expires_at, private.clock() + interval '30 days')
  where n.id = settle_calendar_channel.channel_id and n.connection_id = v_job.connection_id;
end;
$$;
comment on function private.settle_calendar_channel(bigint, uuid, uuid, text, timestamptz) is
  'Definer: channels are private. The caller must be the worker and hold the lease.';
revoke all on function private.settle_calendar_channel(bigint, uuid, uuid, text, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function private.settle_calendar_channel(bigint, uuid, uuid, text, timestamptz) to service_role;

create or replace function public.settle_calendar_channel(
  job_id bigint, lease_token uuid, channel_id uuid, resource_id text default null, expires_at timestamptz default null
)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.settle_calendar_channel(job_id, lease_token, channel_id, resource_id, expires_at);
$$;
comment on function public.settle_calendar_channel(bigint, uuid, uuid, text, timestamptz) is
  'Worker: a channel is open until expires_at, under the provider''s name resource_id; without both it is forgotten. Errors: invalid_transition (stale lease), invalid_input.';
revoke all on function public.settle_calendar_channel(bigint, uuid, uuid, text, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function public.settle_calendar_channel(bigint, uuid, uuid, text, timestamptz) to service_role;
