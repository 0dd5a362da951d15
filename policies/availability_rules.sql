-- Weekly hours are their owner''s business; others see free slots.

alter table public.availability_rules enable row level security;
revoke all on table public.availability_rules from public, anon, authenticated, service_role;
grant select, delete, insert (id, professional_id, weekday, start_time, end_time), update (id, professional_id, weekday, start_time, end_time) on table public.availability_rules to authenticated;
grant select, insert, update, delete on table public.availability_rules to service_role;

create policy select_own on public.availability_rules
for select to authenticated
using (professional_id = (select auth.uid()));
comment on policy select_own on public.availability_rules is 'Weekly hours are their owner''s business; others see free slots.';

create policy insert_own on public.availability_rules
for insert to authenticated
with check (professional_id = (select auth.uid()));
comment on policy insert_own on public.availability_rules is 'For oneself only.';

create policy update_own on public.availability_rules
for update to authenticated
using (professional_id = (select auth.uid()))
with check (professional_id = (select auth.uid()));
comment on policy update_own on public.availability_rules is 'For oneself only.';

create policy delete_own on public.availability_rules
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.availability_rules is 'For oneself only.';
