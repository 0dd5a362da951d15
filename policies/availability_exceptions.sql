-- Absences are their owner''s business; others see free slots.

alter table public.availability_exceptions enable row level security;
revoke all on table public.availability_exceptions from public, anon, authenticated, service_role;
grant select, delete, insert (id, professional_id, during, kind, reason), update (id, professional_id, during, kind, reason) on table public.availability_exceptions to authenticated;
grant select, insert, update, delete on table public.availability_exceptions to service_role;

create policy select_own on public.availability_exceptions
for select to authenticated
using (professional_id = (select auth.uid()));
comment on policy select_own on public.availability_exceptions is 'Absences are their owner''s business; others see free slots.';

create policy insert_own on public.availability_exceptions
for insert to authenticated
with check (professional_id = (select auth.uid()));
comment on policy insert_own on public.availability_exceptions is 'For oneself only.';

create policy update_own on public.availability_exceptions
for update to authenticated
using (professional_id = (select auth.uid()))
with check (professional_id = (select auth.uid()));
comment on policy update_own on public.availability_exceptions is 'For oneself only.';

create policy delete_own on public.availability_exceptions
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.availability_exceptions is 'For oneself only.';
