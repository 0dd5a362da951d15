-- One worker at a time may spend a refresh token; the others wait for what it brings.
--
-- Called by the worker when an access token is about to end or was refused. `seen` is the ciphertext it holds: when
-- another one is stored by now, that is the answer. Definer: credentials are private. Locks: the credentials.

create or replace function private.begin_token_refresh(connection_id uuid, seen text, lease_seconds integer)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_credentials private.calendar_credentials;
  v_lease uuid := gen_random_uuid();
begin
  perform private.require_service_role();
  if seen is null or lease_seconds is null or lease_seconds not between 1 and 300 then
    perform private.raise_error('invalid_input', 'seen, or lease_seconds: 1 to 300.');
  end if;
  select k.* into v_credentials
  from private.calendar_credentials as k
  where k.connection_id = begin_token_refresh.connection_id
  for no key update;
  if not found or not exists (
    select 1 from public.calendar_connections as c where c.id = begin_token_refresh.connection_id and c.status = 'active'
  ) then
    return '{"state": "gone"}'::jsonb;
  elsif v_credentials.ciphertext <> seen then
    return jsonb_build_object('state', 'fresh', 'credentials', v_credentials.ciphertext);
  elsif v_credentials.refresh_leased_until > private.clock() then
    return '{"state": "busy"}'::jsonb;
  end if;
  update private.calendar_credentials as k
  set refresh_lease = v_lease, refresh_leased_until = private.clock() + make_interval(secs => lease_seconds)
  where k.connection_id = v_credentials.connection_id;
  return jsonb_build_object('state', 'granted', 'lease', v_lease);
end;
$$;
comment on function private.begin_token_refresh(uuid, text, integer) is 'Definer: credentials are private. The caller must be the worker.';
revoke all on function private.begin_token_refresh(uuid, text, integer) from public, anon, authenticated, service_role;
grant execute on function private.begin_token_refresh(uuid, text, integer) to service_role;

create or replace function public.begin_token_refresh(connection_id uuid, seen text, lease_seconds integer)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.begin_token_refresh(connection_id, seen, lease_seconds);
$$;
comment on function public.begin_token_refresh(uuid, text, integer) is
  'Worker: asks to spend a refresh token for lease_seconds (1 to 300). → jsonb {state: granted | fresh | busy | gone, lease, credentials}. Errors: invalid_input.';
revoke all on function public.begin_token_refresh(uuid, text, integer) from public, anon, authenticated, service_role;
grant execute on function public.begin_token_refresh(uuid, text, integer) to service_role;
