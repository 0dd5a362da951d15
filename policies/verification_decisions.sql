-- The professional reads what was decided and why; administrators read all. Functions write. Who decided is not shown.

alter table public.verification_decisions enable row level security;
revoke all on table public.verification_decisions from public, anon, authenticated, service_role;
grant select (id, professional_id, service_id, status, note, created_at) on table public.verification_decisions to authenticated;

create policy select_own_or_admin on public.verification_decisions
for select to authenticated
using (professional_id = (select auth.uid()) or (select private.is_admin()));
comment on policy select_own_or_admin on public.verification_decisions is 'Whom it is about, and administrators.';
