-- Owners manage their services; a survivor sees the service that took the case. Verification is for administrators.

alter table public.support_services enable row level security;
revoke all on table public.support_services from public, anon, authenticated, service_role;
grant select, delete on table public.support_services to authenticated;
grant insert (
  id, professional_id, name, service_type, incident_types, description, latitude, longitude, coverage_radius_km, is_remote,
  languages, specialisations, max_active_cases, crisis_24_7, is_active
) on table public.support_services to authenticated;
grant update (
  name, incident_types, description, latitude, longitude, coverage_radius_km, is_remote, languages, specialisations,
  max_active_cases, crisis_24_7, is_active
) on table public.support_services to authenticated;
grant select, insert, update, delete on table public.support_services to service_role;

create policy select_known on public.support_services
for select to authenticated
using (
  professional_id = (select auth.uid())
  or (select private.is_admin())
  or id = any (array(
    select m.service_id
    from public.matched_services as m
    where m.match_status_type in ('accepted', 'completed')
      and m.report_id = any (array(select r.report_id from public.reports as r where r.user_id = (select auth.uid())))
  ))
);
comment on policy select_known on public.support_services is 'Own services, or the one that accepted a report of mine; and administrators, who verify them.';

create policy insert_own on public.support_services
for insert to authenticated
with check (professional_id = (select auth.uid()));
comment on policy insert_own on public.support_services is 'A professional adds services for themselves; they start unverified.';

create policy update_own on public.support_services
for update to authenticated
using (professional_id = (select auth.uid()))
with check (professional_id = (select auth.uid()));
comment on policy update_own on public.support_services is 'The column grants keep service_type and verification_status out: verification was for this kind of help.';

create policy delete_own on public.support_services
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.support_services is 'A service that was never offered a case may go; the foreign key of the offers keeps the others.';
