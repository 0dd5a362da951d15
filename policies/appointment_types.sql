-- Own rows, and what a professional who takes public bookings offers to visitors.

alter table public.appointment_types enable row level security;
revoke all on table public.appointment_types from public, anon, authenticated, service_role;
grant select on table public.appointment_types to anon;
grant select, delete, insert (id, professional_id, name, duration_minutes, is_public, is_active), update (id, professional_id, name, duration_minutes, is_public, is_active) on table public.appointment_types to authenticated;
grant select, insert, update, delete on table public.appointment_types to service_role;

create policy select_bookable on public.appointment_types
for select to anon
using (
  is_public and is_active and exists (
    select 1
    from public.professionals as p
    where p.id = professional_id and p.verification_status = 'verified' and p.is_public_booking
  )
);
comment on policy select_bookable on public.appointment_types is 'What visitors may book with professionals whom they see.';

create policy select_bookable_or_own on public.appointment_types
for select to authenticated
using (
  professional_id = (select auth.uid())
  or (is_public and is_active and exists (
    select 1
    from public.professionals as p
    where p.id = professional_id and p.verification_status = 'verified' and p.is_public_booking
  ))
);
comment on policy select_bookable_or_own on public.appointment_types is 'Own rows, and what visitors may book.';

create policy insert_own on public.appointment_types
for insert to authenticated
with check (professional_id = (select auth.uid()));
comment on policy insert_own on public.appointment_types is 'For oneself only.';

create policy update_own on public.appointment_types
for update to authenticated
using (professional_id = (select auth.uid()))
with check (professional_id = (select auth.uid()));
comment on policy update_own on public.appointment_types is 'For oneself only.';

create policy delete_own on public.appointment_types
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.appointment_types is 'For oneself only.';
