-- Own rows; reading is all that a person can change.

alter table public.notifications enable row level security;
revoke all on table public.notifications from public, anon, authenticated, service_role;
grant select, update (read_at) on table public.notifications to authenticated;
grant select on table public.notifications to service_role;

create policy select_own on public.notifications
for select to authenticated
using (user_id = (select auth.uid()));
comment on policy select_own on public.notifications is 'For their reader only.';

create policy update_own on public.notifications
for update to authenticated
using (user_id = (select auth.uid()))
with check (user_id = (select auth.uid()));
comment on policy update_own on public.notifications is 'Marking as read; the column grant allows nothing else.';
