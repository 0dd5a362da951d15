-- The survivor reads what they consented to; what acts on a consent writes it.

alter table public.consents enable row level security;
revoke all on table public.consents from public, anon, authenticated, service_role;
grant select on table public.consents to authenticated;

create policy select_own on public.consents
for select to authenticated
using (user_id = (select auth.uid()));
comment on policy select_own on public.consents is 'Only who consented.';
