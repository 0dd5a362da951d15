-- Own row only; what decides a person's power is not writable.

alter table public.profiles enable row level security;
revoke all on table public.profiles from public, anon, authenticated, service_role;
grant select, update (display_name, phone, locale, time_zone) on table public.profiles to authenticated;
grant select, insert, update, delete on table public.profiles to service_role;

create policy select_own on public.profiles
for select to authenticated
using (id = (select auth.uid()));
comment on policy select_own on public.profiles is 'A profile holds a phone number: its owner only.';

create policy update_own on public.profiles
for update to authenticated
using (id = (select auth.uid()))
with check (id = (select auth.uid()));
comment on policy update_own on public.profiles is 'Name, phone, language and time zone; the column grants keep user_type out.';
