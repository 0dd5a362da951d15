-- A small believable cast for development: one administrator, three verified professionals, one who still waits for
-- verification, and a survivor with a recorded report.
--
-- Rerunnable: fixed ids, nothing is overwritten. Their services are rare specialities in three Kenyan cities, none of
-- them remote, so that they do not crowd out the people whom a developer adds. The password is the database setting
-- sauti.seed_password, which the local stack sets; without it nobody can sign in as them, so that running the seeds
-- against a hosted project opens no door.

create temporary table seed_people (
  id uuid primary key, email text, user_type text, display_name text, title text, gender public.gender_type, languages text[]
);
insert into seed_people values
  ('5eed0000-0000-4000-8000-000000000001', 'amina@example.org', 'admin', 'Amina', null, 'female', '{}'),
  ('5eed0000-0000-4000-8000-000000000002', 'grace@example.org', 'professional', 'Grace', 'Grace Wanjiru, counselling psychologist', 'female', '{en,sw}'),
  ('5eed0000-0000-4000-8000-000000000003', 'brian@example.org', 'professional', 'Brian', 'Brian Otieno, advocate', 'male', '{en,sw}'),
  ('5eed0000-0000-4000-8000-000000000004', 'leila@example.org', 'professional', 'Leila', 'Dr Leila Hassan', 'female', '{en,fr,sw}'),
  ('5eed0000-0000-4000-8000-000000000005', 'david@example.org', 'professional', 'David', 'David Mwangi, social worker', 'male', '{en}'),
  ('5eed0000-0000-4000-8000-000000000006', 'neema@example.org', 'survivor', 'Neema', null, 'female', '{}');

insert into auth.users (
  instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data,
  created_at, updated_at, confirmation_token, recovery_token, email_change_token_new, email_change
)
select '00000000-0000-0000-0000-000000000000', s.id, 'authenticated', 'authenticated', s.email,
  extensions.crypt(
    coalesce(nullif(current_setting('sauti.seed_password', true), ''), encode(extensions.gen_random_bytes(24), 'hex')),
    extensions.gen_salt('bf', 6)
  ),
  now(), '{"provider": "email", "providers": ["email"]}',
  jsonb_build_object('user_type', s.user_type, 'display_name', s.display_name), now(), now(), '', '', '', ''
from seed_people as s
on conflict do nothing;

insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
select s.id::text, s.id, jsonb_build_object('sub', s.id, 'email', s.email, 'email_verified', true), 'email', now(), now(), now()
from seed_people as s
where exists (select 1 from auth.users as u where u.id = s.id)
on conflict do nothing;

update public.profiles as p
set user_type = 'admin'
from seed_people as s
where p.id = s.id and s.user_type = 'admin' and p.user_type = 'survivor';

update public.profiles as p
set time_zone = 'Africa/Nairobi'
from seed_people as s
where p.id = s.id and p.time_zone = 'UTC';

update public.professionals as p
set professional_title = s.title, gender = s.gender, languages = s.languages, time_zone = 'Africa/Nairobi',
  verification_status = case s.display_name when 'David' then 'pending' else 'verified' end::public.verification_status
from seed_people as s
where p.id = s.id and p.professional_title is null;

insert into public.support_services (
  id, professional_id, name, service_type, incident_types, latitude, longitude, coverage_radius_km, languages,
  specialisations, verification_status
)
values
  ('5eed0000-0000-4000-8000-000000000102', '5eed0000-0000-4000-8000-000000000002', 'Counselling after exploitation', 'counseling',
   '{trafficking,child_labor}', -1.2864, 36.8172, 40, '{en,sw}', '{children}', 'verified'),
  ('5eed0000-0000-4000-8000-000000000103', '5eed0000-0000-4000-8000-000000000003', 'Legal aid for workers', 'legal_aid',
   '{discrimination,cyber}', -0.0917, 34.7680, 40, '{en,sw}', '{}', 'verified'),
  ('5eed0000-0000-4000-8000-000000000104', '5eed0000-0000-4000-8000-000000000004', 'Coast clinic', 'medical',
   '{neglect,child_labor}', -4.0435, 39.6682, 25, '{en,fr,sw}', '{children,disability}', 'verified'),
  ('5eed0000-0000-4000-8000-000000000105', '5eed0000-0000-4000-8000-000000000005', 'Family social work', 'child_protection',
   '{neglect}', -1.2864, 36.8172, 25, '{en}', '{children}', 'pending')
on conflict (id) do nothing;

insert into public.reports (report_id, user_id, incident_type, required_services, gender, age_category, incident_description)
select '5eed0000-0000-4000-8000-000000000206', '5eed0000-0000-4000-8000-000000000006', 'discrimination',
  '{legal_aid}', 'female', 'adult', 'An example report, kept and not shared.'
where not exists (select 1 from public.reports as r where r.report_id = '5eed0000-0000-4000-8000-000000000206');

drop table seed_people;
