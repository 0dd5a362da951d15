-- The baseline of supabase/schemas/10_people: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/10_people/tables.sql
-- The people of a case: profiles of everybody, professionals, their services, and whom a survivor blocks.
--
-- Written by sign-up (tg_users__create_profile) and by their owners; verification only by administrators.

create table public.profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  user_type text not null default 'survivor',
  display_name text,
  phone text,
  locale text not null default 'en',
  time_zone text not null default 'UTC',
  created_at timestamptz not null default now(),
  constraint profiles_user_type_known check (user_type in ('survivor', 'professional', 'admin')),
  constraint profiles_display_name_clean check (private.is_clean_text(display_name, 120)),
  constraint profiles_phone_format check (phone ~ '^\+?[0-9 ()./-]{3,32}$'),
  constraint profiles_locale_format check (locale ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$'),
  constraint profiles_time_zone_known check (private.is_time_zone(time_zone))
);
comment on table public.profiles is 'One row for each account, made by sign-up. Own row only.';
comment on column public.profiles.id is 'The auth user.';
comment on column public.profiles.user_type is 'survivor, professional or admin; chosen at sign-up, never admin; only the service role changes it.';
comment on column public.profiles.display_name is 'How the person wants to be called; at most 120 characters.';
comment on column public.profiles.phone is 'The account''s own number; at most 32 characters.';
comment on column public.profiles.locale is 'BCP 47 language of messages.';
comment on column public.profiles.time_zone is 'IANA zone in which times are shown and safe hours are meant.';
comment on column public.profiles.created_at is 'When the account was made.';

create table public.professionals (
  id uuid primary key references public.profiles (id) on delete cascade,
  professional_title text,
  bio text,
  avatar_url text,
  gender public.gender_type not null default 'prefer_not_to_say',
  languages text[] not null default '{}',
  verification_status public.verification_status not null default 'pending',
  is_public_booking boolean not null default false,
  booking_slug text not null,
  time_zone text not null default 'UTC',
  out_of_office_until timestamptz,
  created_at timestamptz not null default now(),
  constraint professionals_title_clean check (private.is_clean_text(professional_title, 120)),
  constraint professionals_bio_length check (length(bio) <= 4000),
  constraint professionals_avatar_url_https check (length(avatar_url) <= 500 and avatar_url ~ '^https://[^[:space:][:cntrl:]]+$'),
  constraint professionals_languages_short check (private.is_short_list(languages, 20, 35)),
  constraint professionals_booking_slug_format check (booking_slug ~ '^[a-z0-9](-?[a-z0-9]){2,62}$'),
  constraint professionals_booking_slug_unique unique (booking_slug),
  constraint professionals_time_zone_known check (private.is_time_zone(time_zone))
);
comment on table public.professionals is 'Publishable facts about a professional; made by sign-up with status pending.';
comment on column public.professionals.id is 'The profile.';
comment on column public.professionals.professional_title is 'Title and name as published; at most 120 characters.';
comment on column public.professionals.bio is 'Publishable text; at most 4000 characters.';
comment on column public.professionals.avatar_url is 'https address of a picture.';
comment on column public.professionals.gender is 'Compared with a survivor''s preferred gender.';
comment on column public.professionals.languages is 'Language codes or names, compared without case.';
comment on column public.professionals.verification_status is 'Only verified ones are matched; changed by administrators only.';
comment on column public.professionals.is_public_booking is 'Whether visitors may book at booking_slug.';
comment on column public.professionals.booking_slug is 'Public booking address; sauti-<id> until chosen.';
comment on column public.professionals.time_zone is 'IANA zone of the working hours.';
comment on column public.professionals.out_of_office_until is 'Not matched before this moment.';
comment on column public.professionals.created_at is 'When the row was made.';

create table public.support_services (
  id uuid primary key default gen_random_uuid(),
  professional_id uuid not null default auth.uid() references public.professionals (id) on delete cascade,
  name text not null,
  service_type public.service_type not null,
  incident_types public.incident_type[] not null default '{}',
  description text,
  latitude double precision,
  longitude double precision,
  coverage_radius_km double precision not null default 50,
  is_remote boolean not null default false,
  languages text[] not null default '{}',
  specialisations text[] not null default '{}',
  max_active_cases integer not null default 5,
  crisis_24_7 boolean not null default false,
  is_active boolean not null default true,
  verification_status public.verification_status not null default 'pending',
  created_at timestamptz not null default now(),
  constraint support_services_name_clean check (private.is_clean_text(name, 160) and name ~ '[^[:space:]]'),
  constraint support_services_description_length check (length(description) <= 4000),
  constraint support_services_incident_types_known check (
    cardinality(incident_types) <= 13 and array_position(incident_types, null) is null
  ),
  constraint support_services_latitude_range check (latitude between -90 and 90),
  constraint support_services_longitude_range check (longitude between -180 and 180),
  constraint support_services_place_whole check ((latitude is null) = (longitude is null)),
  constraint support_services_coverage_range check (coverage_radius_km between 1 and 20000),
  constraint support_services_languages_short check (private.is_short_list(languages, 20, 35)),
  constraint support_services_specialisations_known check (
    specialisations <@ array['children', 'disability', 'lgbtq'] and cardinality(specialisations) <= 3
  ),
  constraint support_services_max_active_cases_range check (max_active_cases between 1 and 100)
);
create index support_services_professional_id_idx on public.support_services (professional_id);
comment on table public.support_services is 'A service that a verified professional offers: what, for whom, where, how many cases at once.';
comment on column public.support_services.id is 'Key.';
comment on column public.support_services.professional_id is 'Who offers it.';
comment on column public.support_services.name is 'Publishable name; at most 160 characters.';
comment on column public.support_services.service_type is 'What kind of help; fixed once made, because verification was for it.';
comment on column public.support_services.incident_types is 'The incidents it is for; empty = all.';
comment on column public.support_services.description is 'Publishable text; at most 4000 characters.';
comment on column public.support_services.latitude is 'Degrees north of where it is given; null for none.';
comment on column public.support_services.longitude is 'Degrees east of where it is given; null for none.';
comment on column public.support_services.coverage_radius_km is 'Kilometres around the place that it covers, 1 to 20000: an offer from a smaller circle would tell a place.';
comment on column public.support_services.is_remote is 'Reaches every place.';
comment on column public.support_services.languages is 'Languages of the service, beside the professional''s own.';
comment on column public.support_services.specialisations is 'Any of children, disability, lgbtq.';
comment on column public.support_services.max_active_cases is 'Accepted and unfinished cases at which it is offered no more.';
comment on column public.support_services.crisis_24_7 is 'Works around the clock for urgent cases.';
comment on column public.support_services.is_active is 'Switched on by its owner.';
comment on column public.support_services.verification_status is 'Only verified ones are matched; changed by administrators only.';
comment on column public.support_services.created_at is 'When the row was made.';

create table public.blocked_professionals (
  survivor_id uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  professional_id uuid not null references public.professionals (id) on delete cascade,
  created_at timestamptz not null default now(),
  primary key (survivor_id, professional_id)
);
create index blocked_professionals_professional_id_idx on public.blocked_professionals (professional_id);
comment on table public.blocked_professionals is 'Whom a survivor never wants to meet here: never offered one of their cases, and their own reports never reach that survivor''s services.';
comment on column public.blocked_professionals.survivor_id is 'Who blocks.';
comment on column public.blocked_professionals.professional_id is 'Who is blocked.';
comment on column public.blocked_professionals.created_at is 'Since when.';

create table public.verification_documents (
  id uuid primary key default gen_random_uuid(),
  professional_id uuid not null default auth.uid() references public.professionals (id) on delete cascade,
  service_id uuid references public.support_services (id) on delete cascade,
  kind text not null,
  file_name text not null,
  media_type text not null,
  size_bytes bigint not null,
  sha256 text not null,
  created_at timestamptz not null default now(),
  constraint verification_documents_kind_known check (kind in ('licence', 'diploma', 'identity', 'registration', 'reference', 'other')),
  constraint verification_documents_file_name_clean check (private.is_clean_text(file_name, 200) and file_name ~ '[^[:space:]]'),
  constraint verification_documents_media_type_format check (media_type ~ '^[a-z]{1,40}/[a-z0-9.+-]{1,80}$'),
  constraint verification_documents_size_range check (size_bytes between 1 and 104857600),
  constraint verification_documents_sha256_format check (sha256 ~ '^[0-9a-f]{64}$'),
  constraint verification_documents_once unique (professional_id, sha256)
);
create index verification_documents_service_id_idx on public.verification_documents (service_id);
comment on table public.verification_documents is 'What a professional presents for verification: what kind of paper, and a hash to recognise it by. The papers themselves are kept elsewhere.';
comment on column public.verification_documents.id is 'Key.';
comment on column public.verification_documents.professional_id is 'Who presents it.';
comment on column public.verification_documents.service_id is 'The service it is for; null = the professional.';
comment on column public.verification_documents.kind is 'licence, diploma, identity, registration, reference or other.';
comment on column public.verification_documents.file_name is 'One line of at most 200 characters.';
comment on column public.verification_documents.media_type is 'Such as application/pdf.';
comment on column public.verification_documents.size_bytes is '1 byte to 100 MiB.';
comment on column public.verification_documents.sha256 is 'Of the file, in lower-case hexadecimal.';
comment on column public.verification_documents.created_at is 'When it was presented.';

create table public.verification_decisions (
  id uuid primary key default gen_random_uuid(),
  professional_id uuid not null references public.professionals (id) on delete cascade,
  service_id uuid references public.support_services (id) on delete cascade,
  status public.verification_status not null,
  note text,
  decided_by uuid references public.profiles (id) on delete set null,
  created_at timestamptz not null default now(),
  constraint verification_decisions_note_length check (length(note) <= 1000)
);
create index verification_decisions_professional_id_idx on public.verification_decisions (professional_id, created_at desc);
create index verification_decisions_service_id_idx on public.verification_decisions (service_id);
create index verification_decisions_decided_by_idx on public.verification_decisions (decided_by);
comment on table public.verification_decisions is 'What administrators decided about a professional or a service, and why. Written by verify_professional and verify_service.';
comment on column public.verification_decisions.id is 'Key.';
comment on column public.verification_decisions.professional_id is 'About whom.';
comment on column public.verification_decisions.service_id is 'About which service; null = the professional.';
comment on column public.verification_decisions.status is 'What was decided.';
comment on column public.verification_decisions.note is 'Why; at most 1000 characters. The professional reads it.';
comment on column public.verification_decisions.decided_by is 'Which administrator; not readable through the API.';
comment on column public.verification_decisions.created_at is 'When.';

-- supabase/schemas/10_people/is_admin.sql
-- Whether the caller is an administrator.
--
-- Called by policies and by administrators' functions. Invoker: everybody may read the own profile, and no more is
-- needed. Locks: none.

create or replace function private.is_admin()
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select exists (
    select 1
    from public.profiles as p
    where p.id = (select auth.uid()) and p.user_type = 'admin'
  );
$$;
comment on function private.is_admin() is 'True when the signed-in user''s profile is of type admin.';
revoke all on function private.is_admin() from public, anon, authenticated, service_role;
grant execute on function private.is_admin() to anon, authenticated, service_role;

-- supabase/schemas/10_people/require_admin.sql
-- Who is calling, if it is an administrator: the id, or a refusal.
--
-- Called first by every function for administrators. Everybody else gets the same answer, whatever they asked about.
-- Locks: none.

create or replace function private.require_admin()
returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
begin
  if not private.is_admin() then
    perform private.raise_error('not_allowed', 'Only administrators may call this.');
  end if;
  return v_user_id;
end;
$$;
comment on function private.require_admin() is 'The signed-in administrator''s id; raises not_authenticated (401) or not_allowed (403).';
revoke all on function private.require_admin() from public, anon, authenticated, service_role;

-- supabase/schemas/10_people/tg_professionals__default_booking_slug.sql
-- A professional's booking address is sauti-<id> until they choose one.
--
-- Called by: insert and update on public.professionals. Locks: none.

create or replace function private.tg_professionals__default_booking_slug()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  new.booking_slug := coalesce(new.booking_slug, 'sauti-' || new.id);
  return new;
end;
$$;
comment on function private.tg_professionals__default_booking_slug() is 'Fills booking_slug with sauti-<id> when it is null.';
revoke all on function private.tg_professionals__default_booking_slug() from public, anon, authenticated, service_role;

create trigger _100_default_booking_slug
before insert or update of booking_slug on public.professionals
for each row execute function private.tg_professionals__default_booking_slug();

-- supabase/schemas/10_people/tg_users__create_profile.sql
-- Sign-up: every new auth user gets a profile, and a professional a row to fill in.
--
-- Called by: insert on auth.users. Definer, because Auth's own role has no rights in `public`. User metadata is written
-- by the user, so it chooses between survivor and professional and nothing else, and never makes a sign-up fail.

create or replace function private.tg_users__create_profile()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_type text := case new.raw_user_meta_data ->> 'user_type' when 'professional' then 'professional' else 'survivor' end;
  v_display_name text := nullif(
    btrim(left(regexp_replace(new.raw_user_meta_data ->> 'display_name', '[[:cntrl:]]', ' ', 'g'), 120)), ''
  );
begin
  insert into public.profiles (id, user_type, display_name)
  values (new.id, v_user_type, v_display_name);
  if v_user_type = 'professional' then
    insert into public.professionals (id, booking_slug)
    values (new.id, 'sauti-' || new.id);
  end if;
  return null;
end;
$$;
comment on function private.tg_users__create_profile() is 'Definer: the Auth server''s role may not write public tables. Makes the profile (and professional) of a new account.';
revoke all on function private.tg_users__create_profile() from public, anon, authenticated, service_role;

create trigger _500_create_profile
after insert on auth.users
for each row execute function private.tg_users__create_profile();

-- supabase/schemas/10_people/verify_professional.sql
-- An administrator decides about a professional, with a reason that the professional can read.
--
-- Called by administrators; a repeated decision adds nothing. Leaving verified withdraws open offers and hands cases over
-- (triggers on the table). Definer: verification is not writable directly. Locks: the professional, then what it changes.

create or replace function private.verify_professional(professional_id uuid, status public.verification_status, note text)
returns public.professionals
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_admin_id uuid := private.require_admin();
  v_professional public.professionals;
begin
  if length(note) > 1000 or (status in ('rejected', 'suspended') and coalesce(note, '') !~ '[^[:space:]]') then
    perform private.raise_error('invalid_input', 'note: at most 1000 characters, and not empty when something is rejected or suspended.');
  elsif status is null then
    perform private.raise_error('invalid_input', 'status: missing');
  end if;
  select x.* into v_professional from public.professionals as x where x.id = verify_professional.professional_id for no key update;
  if not found then
    perform private.raise_error('not_found');
  elsif v_professional.verification_status = status then
    return v_professional;
  end if;
  insert into public.verification_decisions (professional_id, service_id, status, note, decided_by, created_at)
  values (v_professional.id, null, verify_professional.status, verify_professional.note, v_admin_id, private.clock());
  update public.professionals as x
  set verification_status = verify_professional.status
  where x.id = v_professional.id
  returning x.* into v_professional;
  perform private.notify(array[v_professional.id], 'verification_changed');
  return v_professional;
end;
$$;
comment on function private.verify_professional(uuid, public.verification_status, text) is 'Definer: verification is not writable directly. The caller must be an administrator.';
revoke all on function private.verify_professional(uuid, public.verification_status, text) from public, anon, authenticated, service_role;
grant execute on function private.verify_professional(uuid, public.verification_status, text) to authenticated;

create or replace function public.verify_professional(professional_id uuid, status public.verification_status, note text default null)
returns public.professionals
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.verify_professional(professional_id, status, note);
end;
$$;
comment on function public.verify_professional(uuid, public.verification_status, text) is
  'Administrator: sets the verification of a professional and keeps the reason; one is needed to reject or suspend. Leaving verified withdraws open offers and hands accepted cases over. → the professional. Errors: not_allowed, not_found, invalid_input.';
revoke all on function public.verify_professional(uuid, public.verification_status, text) from public, anon, authenticated, service_role;
grant execute on function public.verify_professional(uuid, public.verification_status, text) to anon, authenticated;

-- supabase/schemas/10_people/verify_service.sql
-- An administrator decides about a service, with a reason that the professional can read.
--
-- Called by administrators; a repeated decision adds nothing. Leaving verified withdraws open offers and hands cases over
-- (triggers on the table). Definer: verification is not writable directly. Locks: the professional, then what it changes.

create or replace function private.verify_service(service_id uuid, status public.verification_status, note text)
returns public.support_services
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_admin_id uuid := private.require_admin();
  v_service public.support_services;
begin
  if length(note) > 1000 or (status in ('rejected', 'suspended') and coalesce(note, '') !~ '[^[:space:]]') then
    perform private.raise_error('invalid_input', 'note: at most 1000 characters, and not empty when something is rejected or suspended.');
  elsif status is null then
    perform private.raise_error('invalid_input', 'status: missing');
  end if;
  perform 1
  from public.professionals as p
  where p.id = (select s.professional_id from public.support_services as s where s.id = verify_service.service_id)
  for no key update;
  select x.* into v_service from public.support_services as x where x.id = verify_service.service_id for no key update;
  if not found then
    perform private.raise_error('not_found');
  elsif v_service.verification_status = status then
    return v_service;
  end if;
  insert into public.verification_decisions (professional_id, service_id, status, note, decided_by, created_at)
  values (v_service.professional_id, v_service.id, verify_service.status, verify_service.note, v_admin_id, private.clock());
  update public.support_services as x
  set verification_status = verify_service.status
  where x.id = v_service.id
  returning x.* into v_service;
  perform private.notify(array[v_service.professional_id], 'verification_changed');
  return v_service;
end;
$$;
comment on function private.verify_service(uuid, public.verification_status, text) is 'Definer: verification is not writable directly. The caller must be an administrator.';
revoke all on function private.verify_service(uuid, public.verification_status, text) from public, anon, authenticated, service_role;
grant execute on function private.verify_service(uuid, public.verification_status, text) to authenticated;

create or replace function public.verify_service(service_id uuid, status public.verification_status, note text default null)
returns public.support_services
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.verify_service(service_id, status, note);
end;
$$;
comment on function public.verify_service(uuid, public.verification_status, text) is
  'Administrator: sets the verification of a service and keeps the reason; one is needed to reject or suspend. Leaving verified withdraws open offers and hands accepted cases over. → the service. Errors: not_allowed, not_found, invalid_input.';
revoke all on function public.verify_service(uuid, public.verification_status, text) from public, anon, authenticated, service_role;
grant execute on function public.verify_service(uuid, public.verification_status, text) to anon, authenticated;
