-- Only the survivor. No policy of any other kind may ever stand here: not even the planner's row estimate may depend on it.

alter table public.reports enable row level security;
revoke all on table public.reports from public, anon, authenticated, service_role;
grant select on table public.reports to authenticated;
grant insert (
  report_id, user_id, incident_type, incident_description, incident_date, urgency, required_services, gender, age_category,
  survivor_name, contact_email, contact_phone, contact_preference, safe_contact_from, safe_contact_until,
  emergency_contact, preferred_language, preferred_professional_gender, special_needs, consent_to_share,
  consent_location, latitude, longitude
) on table public.reports to authenticated;
grant update (
  incident_description, incident_date, survivor_name, contact_email, contact_phone, contact_preference, safe_contact_from,
  safe_contact_until, emergency_contact, preferred_language, preferred_professional_gender, special_needs
) on table public.reports to authenticated;
grant insert on table public.reports to service_role;

create policy select_own on public.reports
for select to authenticated
using (user_id = (select auth.uid()));
comment on policy select_own on public.reports is 'One door to a story: its owner here, everybody else through open_case and break_glass, which are logged.';

create policy insert_own on public.reports
for insert to authenticated
with check (user_id = (select auth.uid()));
comment on policy insert_own on public.reports is 'A survivor files for themselves; the column grants keep status, match_status and case_code out.';

create policy update_own on public.reports
for update to authenticated
using (user_id = (select auth.uid()))
with check (user_id = (select auth.uid()));
comment on policy update_own on public.reports is 'Story and contact may be corrected; consent has its functions.';
