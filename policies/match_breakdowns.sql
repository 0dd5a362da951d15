-- Why an offer was made: administrators only, because proximity tells a distance.

alter table public.match_breakdowns enable row level security;
revoke all on table public.match_breakdowns from public, anon, authenticated, service_role;
grant select on table public.match_breakdowns to authenticated, service_role;

create policy select_admins on public.match_breakdowns
for select to authenticated
using ((select private.is_admin()));
comment on policy select_admins on public.match_breakdowns is 'Administrators check the fairness of matching; nobody else may learn a distance.';
