-- The professional only; times of their private life.

alter table public.calendar_busy enable row level security;
revoke all on table public.calendar_busy from public, anon, authenticated, service_role;
grant select on table public.calendar_busy to authenticated;
grant select, insert, update, delete on table public.calendar_busy to service_role;

create policy select_own on public.calendar_busy
for select to authenticated
using (professional_id = (select auth.uid()));
comment on policy select_own on public.calendar_busy is 'For their owner only; others see free slots.';
