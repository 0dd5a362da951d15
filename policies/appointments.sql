-- The two parties read; functions write.

alter table public.appointments enable row level security;
revoke all on table public.appointments from public, anon, authenticated, service_role;
grant select on table public.appointments to authenticated, service_role;

create policy select_parties on public.appointments
for select to authenticated
using (professional_id = (select auth.uid()) or survivor_id = (select auth.uid()));
comment on policy select_parties on public.appointments is 'Professional and survivor of the appointment.';
