-- Own rows; the credentials are elsewhere, out of every client role's reach.

alter table public.calendar_connections enable row level security;
revoke all on table public.calendar_connections from public, anon, authenticated, service_role;
grant select, update (detail_level) on table public.calendar_connections to authenticated;
grant select, insert, update, delete on table public.calendar_connections to service_role;

create policy select_own on public.calendar_connections
for select to authenticated
using (user_id = (select auth.uid()));
comment on policy select_own on public.calendar_connections is 'For their owner only.';

create policy update_own on public.calendar_connections
for update to authenticated
using (user_id = (select auth.uid()))
with check (user_id = (select auth.uid()));
comment on policy update_own on public.calendar_connections is 'Only how much the events say.';
