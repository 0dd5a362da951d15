-- What a calendar subscription shows: the appointments of the person whose secret address it is.
--
-- Called by the Edge Function `calendar-feed`, which holds no session: the token is the key, and a wrong one opens nothing.
-- Cancelled appointments are there too, so that a calendar takes them out. Definer: feeds and others' case codes are
-- private. Locks: none.

create or replace function private.calendar_feed(token text)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_feed private.calendar_feeds;
begin
  select f.* into v_feed from private.calendar_feeds as f where f.token_hash = private.hash_token(token);
  if not found then
    perform private.raise_error('not_found');
  end if;
  return (
    select jsonb_build_object(
      'name', 'Appointments',
      'revised_at', coalesce(max(e.updated_at), v_feed.created_at),
      'events', coalesce(jsonb_agg(e.facts order by e.appointment_date), '[]'::jsonb)
    )
    from (
      select a.updated_at, a.appointment_date,
        private.appointment_facts(a) || jsonb_build_object('case_code', private.case_code_for(a, v_feed.user_id)) as facts
      from public.appointments as a
      where (a.professional_id = v_feed.user_id or a.survivor_id = v_feed.user_id)
        and a.appointment_date >= private.clock() - interval '90 days'
      order by a.appointment_date
      limit 1000
    ) as e
  );
end;
$$;
comment on function private.calendar_feed(text) is 'Definer: feeds are private. The caller must hold the feed''s token.';
revoke all on function private.calendar_feed(text) from public, anon, authenticated, service_role;
grant execute on function private.calendar_feed(text) to anon, service_role;

create or replace function public.calendar_feed(token text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return private.calendar_feed(token);
end;
$$;
comment on function public.calendar_feed(text) is
  'Edge Function: the appointments of the last 90 days and of the future, at most 1000, whose subscription this token is. → jsonb {name, revised_at, events: [{appointment_id, uid, starts_at, ends_at, duration_minutes, status, sequence, time_zone, meeting_url, location, case_code, created_at, revised_at}]}. Errors: not_found.';
revoke all on function public.calendar_feed(text) from public, anon, authenticated, service_role;
grant execute on function public.calendar_feed(text) to anon, service_role;
