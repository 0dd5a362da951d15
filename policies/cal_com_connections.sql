-- Own row; its secret is elsewhere, out of every client role's reach. Deleting it takes the secret along.

alter table public.cal_com_connections enable row level security;
revoke all on table public.cal_com_connections from public, anon, authenticated, service_role;
grant select, delete on table public.cal_com_connections to authenticated;
grant select on table public.cal_com_connections to service_role;

create policy select_own on public.cal_com_connections
for select to authenticated
using (professional_id = (select auth.uid()));
comment on policy select_own on public.cal_com_connections is 'For the professional only.';

create policy delete_own on public.cal_com_connections
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.cal_com_connections is 'The professional disconnects Cal.com; appointments stay.';
