-- Who booked from outside: for the professional of the appointment alone; functions write.

alter table public.appointment_clients enable row level security;
revoke all on table public.appointment_clients from public, anon, authenticated, service_role;
grant select on table public.appointment_clients to authenticated;

create policy select_professional on public.appointment_clients
for select to authenticated
using (exists (
  select 1
  from public.appointments as a
  where a.appointment_id = appointment_clients.appointment_id and a.professional_id = (select auth.uid())
));
comment on policy select_professional on public.appointment_clients is 'The professional of the appointment.';
