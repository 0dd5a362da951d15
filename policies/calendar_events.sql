-- The owner of the calendar reads what stands in it.

alter table public.calendar_events enable row level security;
revoke all on table public.calendar_events from public, anon, authenticated, service_role;
grant select on table public.calendar_events to authenticated, service_role;

create policy select_own on public.calendar_events
for select to authenticated
using (connection_id = any (array(select c.id from public.calendar_connections as c where c.user_id = (select auth.uid()))));
comment on policy select_own on public.calendar_events is 'Events of the caller''s own calendars.';
