-- What a provider tells by its channels: believed with the channel's token, and then only that a calendar is to be read.
--
-- Called by the Edge Function `api` with the service key, for addresses that the whole world can reach. An unknown channel, a
-- wrong token, a message that came before and a calendar that is no longer served change nothing. Tokens are compared as
-- hashes of 256 random bits, so the time it takes tells nothing about them. Definer: channels and the outbox are private.
-- Locks: the connection (shared, as deletions lock it first), the channel, the row of private.calendar_pulls.

create or replace function private.notice_calendar_changes(provider text, notices jsonb)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_notice record;
  v_connection_id uuid;
  v_count integer := 0;
begin
  perform private.require_service_role();
  if provider is null or provider not in ('google', 'microsoft') or jsonb_typeof(notices) is distinct from 'array'
    or jsonb_array_length(notices) not between 1 and 100
  then
    perform private.raise_error('invalid_input', 'provider, or notices: 1 to 100.');
  end if;
  for v_notice in
    select n.channel_id, n.token_hash, n.resource_id, max(n.message) as message,
      bool_or(n.state <> 'sync') as is_change, bool_or(n.state = 'lost') as is_lost
    from jsonb_to_recordset(notices) as n (channel_id uuid, token_hash text, resource_id text, message bigint, state text)
    group by n.channel_id, n.token_hash, n.resource_id
    order by n.channel_id
  loop
    select c.id into v_connection_id
    from private.calendar_channels as n
    join public.calendar_connections as c on c.id = n.connection_id
    where n.id = v_notice.channel_id and n.token_hash = v_notice.token_hash
      and c.provider::text = notice_calendar_changes.provider and c.status = 'active'
    for key share of c;
    continue when v_connection_id is null;
    update private.calendar_channels as n
    set last_message = coalesce(v_notice.message, n.last_message), resource_id = coalesce(n.resource_id, v_notice.resource_id),
      expires_at = case when v_notice.is_lost then least(n.expires_at, private.clock()) else n.expires_at end
    where n.id = v_notice.channel_id and n.token_hash = v_notice.token_hash
      and (n.expires_at is null or n.expires_at > private.clock())
      and (n.resource_id is null or n.resource_id = v_notice.resource_id)
      -- Google numbers its messages, Microsoft does not.
      and (v_notice.message > n.last_message or (v_notice.message is null and notice_calendar_changes.provider = 'microsoft'));
    continue when not found;
    v_count := v_count + 1;
    if v_notice.is_change then
      perform private.hurry_calendar_pull(v_connection_id);
    end if;
  end loop;
  return v_count;
end;
$$;
comment on function private.notice_calendar_changes(text, jsonb) is
  'Definer: channels and the outbox are private. The caller must be the Edge Function with the service key; each message has to bring its channel''s token.';
revoke all on function private.notice_calendar_changes(text, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.notice_calendar_changes(text, jsonb) to service_role;

create or replace function public.notice_calendar_changes(provider text, notices jsonb)
returns integer
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.notice_calendar_changes(provider, notices);
$$;
comment on function public.notice_calendar_changes(text, jsonb) is
  'Edge Function: what google or microsoft tells of changed calendars, as [{channel_id, token_hash, resource_id, message, state: sync | exists | lost}]. → integer: how many messages were believed. Errors: invalid_input.';
revoke all on function public.notice_calendar_changes(text, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.notice_calendar_changes(text, jsonb) to service_role;
