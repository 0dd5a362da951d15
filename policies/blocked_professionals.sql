-- A survivor's own list; the blocked person never learns of it.

alter table public.blocked_professionals enable row level security;
revoke all on table public.blocked_professionals from public, anon, authenticated, service_role;
grant select, delete, insert (survivor_id, professional_id) on table public.blocked_professionals to authenticated;
grant select, insert, update, delete on table public.blocked_professionals to service_role;

create policy select_own on public.blocked_professionals
for select to authenticated
using (survivor_id = (select auth.uid()));
comment on policy select_own on public.blocked_professionals is 'Only who blocks sees it.';

create policy insert_own on public.blocked_professionals
for insert to authenticated
with check (survivor_id = (select auth.uid()));
comment on policy insert_own on public.blocked_professionals is 'For oneself only.';

create policy delete_own on public.blocked_professionals
for delete to authenticated
using (survivor_id = (select auth.uid()));
comment on policy delete_own on public.blocked_professionals is 'For oneself only.';
