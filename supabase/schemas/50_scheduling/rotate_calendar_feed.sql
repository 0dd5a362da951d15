-- A person draws a new secret address for subscribing to the own appointments; the old one is dead.
--
-- Called by any user. The address stands beside the Auth server that issued the caller's token, unless the settings name
-- another: neither is anything that a request could forge. Definer: feeds are private. Locks: the feed.

create or replace function private.rotate_calendar_feed()
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_token text := private.new_token();
begin
  insert into private.calendar_feeds as f (user_id, token_hash, created_at)
  select p.id, private.hash_token(v_token), private.clock() from public.profiles as p where p.id = v_user_id
  on conflict (user_id) do update set token_hash = excluded.token_hash, created_at = excluded.created_at;
  if not found then
    perform private.raise_error('not_found');
  end if;
  return coalesce(
    (select s.functions_url from private.booking_settings as s),
    regexp_replace(auth.jwt() ->> 'iss', '/auth/v1/?$', '/functions/v1'),
    '/functions/v1'
  ) || '/calendar-feed/' || v_token || '.ics';
end;
$$;
comment on function private.rotate_calendar_feed() is 'Definer: feeds are private. Any signed-in user, for the own appointments.';
revoke all on function private.rotate_calendar_feed() from public, anon, authenticated, service_role;
grant execute on function private.rotate_calendar_feed() to authenticated;

create or replace function public.rotate_calendar_feed()
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.rotate_calendar_feed();
end;
$$;
comment on function public.rotate_calendar_feed() is
  'Any user: a new secret ICS subscription of the own appointments; the one before stops working. → its address, shown this once.';
revoke all on function public.rotate_calendar_feed() from public, anon, authenticated, service_role;
grant execute on function public.rotate_calendar_feed() to anon, authenticated;
