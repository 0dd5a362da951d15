-- Stores a professional's Cal.com account with the encrypted secret of its webhook.
--
-- Called by the Edge Function `api` with the service key, after it has verified who the user is and encrypted the secret.
-- Storing again replaces link and secret. Definer: secrets are private. Locks: the connection.

create or replace function private.store_cal_com_connection(user_id uuid, booking_link text, secret text)
returns public.cal_com_connections
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_connection public.cal_com_connections;
begin
  perform private.require_service_role();
  if not exists (select 1 from public.professionals as p where p.id = store_cal_com_connection.user_id) then
    perform private.raise_error('not_allowed', 'Only professionals take bookings.');
  elsif booking_link is null or length(booking_link) > 500 or booking_link !~ '^https://[^[:space:][:cntrl:]]+$' then
    perform private.raise_error('invalid_input', 'booking_link: an https address of at most 500 characters.');
  elsif secret is null or length(secret) > 20000 or secret !~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{22,}$' then
    perform private.raise_error('invalid_input', 'secret: not a ciphertext');
  end if;
  insert into public.cal_com_connections as c (professional_id, booking_link)
  values (store_cal_com_connection.user_id, store_cal_com_connection.booking_link)
  on conflict on constraint cal_com_connections_pkey do update
  set booking_link = excluded.booking_link, status = 'active', last_error = null
  returning c.* into v_connection;
  insert into private.cal_com_secrets as s (professional_id, ciphertext)
  values (v_connection.professional_id, store_cal_com_connection.secret)
  on conflict on constraint cal_com_secrets_pkey do update
  set ciphertext = excluded.ciphertext, updated_at = now();
  return v_connection;
end;
$$;
comment on function private.store_cal_com_connection(uuid, text, text) is 'Definer: secrets are private. The caller must be the Edge Function with the service key.';
revoke all on function private.store_cal_com_connection(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function private.store_cal_com_connection(uuid, text, text) to service_role;

create or replace function public.store_cal_com_connection(user_id uuid, booking_link text, secret text)
returns public.cal_com_connections
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.store_cal_com_connection(user_id, booking_link, secret);
$$;
comment on function public.store_cal_com_connection(uuid, text, text) is
  'Edge Function: stores a Cal.com account with its encrypted webhook secret. → the connection. Errors: not_allowed, invalid_input.';
revoke all on function public.store_cal_com_connection(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function public.store_cal_com_connection(uuid, text, text) to service_role;
