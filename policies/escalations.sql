-- Administrators read open escalations through the view public.escalations.

alter table private.escalations enable row level security;
revoke all on table private.escalations from public, anon, authenticated, service_role;
revoke all on table public.escalations from public, anon, authenticated, service_role;
grant select on table private.escalations to authenticated;
grant select on table public.escalations to authenticated;

create policy select_admins on private.escalations
for select to authenticated
using ((select private.is_admin()));
comment on policy select_admins on private.escalations is 'Administrators coordinate; masked facts only.';
