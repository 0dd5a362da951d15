-- A professional sees own offers, a survivor the accepted and completed ones. Nobody writes: functions do.

alter table public.matched_services enable row level security;
revoke all on table public.matched_services from public, anon, authenticated, service_role;
grant select on table public.matched_services to authenticated;
grant select on table public.matched_services to service_role;

create policy select_parties on public.matched_services
for select to authenticated
using (
  professional_id = (select auth.uid())
  or (
    match_status_type in ('accepted', 'completed')
    and report_id = any (array(select r.report_id from public.reports as r where r.user_id = (select auth.uid())))
  )
);
comment on policy select_parties on public.matched_services is 'The row holds nothing but masked facts, so the whole row is safe to show to whom it was offered.';
