-- The professional sees what could not be placed; functions write.

alter table public.cal_com_conflicts enable row level security;
revoke all on table public.cal_com_conflicts from public, anon, authenticated, service_role;
grant select on table public.cal_com_conflicts to authenticated, service_role;

create policy select_own on public.cal_com_conflicts
for select to authenticated
using (professional_id = (select auth.uid()));
comment on policy select_own on public.cal_com_conflicts is 'For the professional only.';
