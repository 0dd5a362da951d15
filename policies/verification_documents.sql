-- A professional presents, administrators look. What was presented is not changed, only taken back.

alter table public.verification_documents enable row level security;
revoke all on table public.verification_documents from public, anon, authenticated, service_role;
grant select, delete, insert (id, professional_id, service_id, kind, file_name, media_type, size_bytes, sha256)
  on table public.verification_documents to authenticated;

create policy select_own_or_admin on public.verification_documents
for select to authenticated
using (professional_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own_or_admin on public.verification_documents is 'Who presents it, and administrators, who decide by it.';

create policy insert_own on public.verification_documents
for insert to authenticated
with check (
  professional_id = (select auth.uid())
  and (
    service_id is null
    or service_id = any (array(select s.id from public.support_services as s where s.professional_id = (select auth.uid())))
  )
);
comment on policy insert_own on public.verification_documents is 'For oneself and for own services.';

create policy delete_own on public.verification_documents
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.verification_documents is 'What one presented can be taken back.';
