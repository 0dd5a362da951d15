-- The author only, while they have access to the case. Notes are changed in versions and never deleted.

alter table public.case_notes enable row level security;
revoke all on table public.case_notes from public, anon, authenticated, service_role;
grant select, insert (id, matched_services, appointment_id, professional_id, body), update (body) on table public.case_notes to authenticated;

create policy select_author on public.case_notes
for select to authenticated
using (professional_id = (select auth.uid()) and matched_services = any ((select private.readable_cases())::uuid[]));
comment on policy select_author on public.case_notes is 'Its author, and nobody else; withdrawn consent closes it with the case.';

create policy insert_author on public.case_notes
for insert to authenticated
with check (professional_id = (select auth.uid()));
comment on policy insert_author on public.case_notes is 'As oneself; the trigger lets in only notes on a case that one holds.';

create policy update_author on public.case_notes
for update to authenticated
using (professional_id = (select auth.uid()) and matched_services = any ((select private.readable_cases())::uuid[]))
with check (professional_id = (select auth.uid()));
comment on policy update_author on public.case_notes is 'The text only; the trigger keeps the version before.';
