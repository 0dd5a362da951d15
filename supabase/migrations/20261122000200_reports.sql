-- The baseline of supabase/schemas/20_reports: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/20_reports/tables.sql
-- Reports: a survivor's story. Only the survivor ever selects this table; everybody else goes through a logged door.

create table public.reports (
  report_id uuid primary key default gen_random_uuid(),
  case_code text not null default private.new_case_code(),
  -- Deferred: matching updates the row in the transaction that inserts it, and an immediate check would be made for both.
  user_id uuid not null default auth.uid() references public.profiles (id) on delete cascade deferrable initially deferred,
  incident_type public.incident_type not null,
  incident_description text,
  incident_date date,
  urgency public.urgency_level not null default 'medium',
  required_services public.service_type[] not null,
  gender public.gender_type not null default 'prefer_not_to_say',
  age_category public.age_category,
  survivor_name text,
  contact_email text,
  contact_phone text,
  contact_preference public.contact_preference not null default 'in_app',
  safe_contact_from time,
  safe_contact_until time,
  emergency_contact text,
  preferred_language text,
  preferred_professional_gender public.gender_type,
  special_needs text[] not null default '{}',
  consent_to_share boolean not null default false,
  consent_location boolean not null default false,
  latitude double precision,
  longitude double precision,
  status public.report_status not null default 'recorded',
  match_status public.match_status not null default 'pending',
  ismatched boolean not null default false,
  created_at timestamptz not null default now(),
  archived_at timestamptz,
  anonymised_at timestamptz,
  constraint reports_case_code_unique unique (case_code),
  constraint reports_case_code_format check (case_code ~ '^[A-Z]{4}-[A-Z]{4}-[0-9]{2}$'),
  constraint reports_description_length check (length(incident_description) <= 20000),
  constraint reports_required_services_some check (
    cardinality(required_services) between 1 and 10 and array_position(required_services, null) is null
  ),
  constraint reports_survivor_name_clean check (private.is_clean_text(survivor_name, 200)),
  constraint reports_contact_email_format check (
    length(contact_email) <= 254 and contact_email ~ '^[^@[:space:][:cntrl:]<>",;]+@[^@[:space:][:cntrl:]<>",;]+$'
  ),
  constraint reports_contact_phone_format check (contact_phone ~ '^\+?[0-9 ()./-]{3,32}$'),
  constraint reports_safe_hours_whole check ((safe_contact_from is null) = (safe_contact_until is null)),
  constraint reports_emergency_contact_length check (length(emergency_contact) <= 500),
  constraint reports_preferred_language_clean check (private.is_clean_text(preferred_language, 35)),
  constraint reports_special_needs_short check (private.is_short_list(special_needs, 20, 60)),
  constraint reports_latitude_range check (latitude between -90 and 90),
  constraint reports_longitude_range check (longitude between -180 and 180),
  constraint reports_place_whole check ((latitude is null) = (longitude is null)),
  constraint reports_place_needs_consent check (consent_location or latitude is null)
);
create index reports_user_id_idx on public.reports (user_id);
create index reports_retention_idx on public.reports (archived_at)
  where status in ('archived', 'withdrawn') and anonymised_at is null;
-- No statistics on what others may not see: with them, the planner's estimate (Prefer: count=planned) moves with hidden values.
alter table public.reports
  alter column case_code set statistics 0,
  alter column incident_type set statistics 0,
  alter column incident_description set statistics 0,
  alter column incident_date set statistics 0,
  alter column urgency set statistics 0,
  alter column required_services set statistics 0,
  alter column gender set statistics 0,
  alter column age_category set statistics 0,
  alter column survivor_name set statistics 0,
  alter column contact_email set statistics 0,
  alter column contact_phone set statistics 0,
  alter column contact_preference set statistics 0,
  alter column safe_contact_from set statistics 0,
  alter column safe_contact_until set statistics 0,
  alter column emergency_contact set statistics 0,
  alter column preferred_language set statistics 0,
  alter column preferred_professional_gender set statistics 0,
  alter column special_needs set statistics 0,
  alter column consent_to_share set statistics 0,
  alter column consent_location set statistics 0,
  alter column latitude set statistics 0,
  alter column longitude set statistics 0,
  alter column status set statistics 0,
  alter column match_status set statistics 0,
  alter column ismatched set statistics 0,
  alter column created_at set statistics 0,
  alter column archived_at set statistics 0,
  alter column anonymised_at set statistics 0;
comment on table public.reports is 'A survivor''s report. Only the survivor selects it; professionals and administrators go through open_case and break_glass, which are logged.';
comment on column public.reports.report_id is 'Random key; the only fact of this row that others may know before acceptance, beside the masked facts.';
comment on column public.reports.case_code is 'Short and speakable, for calendars and telephones; tells nothing.';
comment on column public.reports.user_id is 'The survivor.';
comment on column public.reports.incident_type is 'Masked fact.';
comment on column public.reports.incident_description is 'The story; at most 20000 characters.';
comment on column public.reports.incident_date is 'When it happened, not in the future.';
comment on column public.reports.urgency is 'Sets the number of offers and the response clock.';
comment on column public.reports.required_services is '1 to 10 kinds of help, each once.';
comment on column public.reports.gender is 'Masked fact.';
comment on column public.reports.age_category is 'Masked fact; null = not said.';
comment on column public.reports.survivor_name is 'At most 200 characters.';
comment on column public.reports.contact_email is 'Where mail may go when contact_preference is email.';
comment on column public.reports.contact_phone is 'At most 32 characters.';
comment on column public.reports.contact_preference is 'The one channel that may be used.';
comment on column public.reports.safe_contact_from is 'Messages wait until this local time of day.';
comment on column public.reports.safe_contact_until is 'And stop at this one; may be past midnight.';
comment on column public.reports.emergency_contact is 'Free text; at most 500 characters.';
comment on column public.reports.preferred_language is 'Code or name, compared without case.';
comment on column public.reports.preferred_professional_gender is 'A wish that counts in the score.';
comment on column public.reports.special_needs is 'Words such as children, disability, lgbtq; at most 20.';
comment on column public.reports.consent_to_share is 'false = recorded only, never matched; changed by request_support and withdraw_report alone.';
comment on column public.reports.consent_location is 'A place is refused without it.';
comment on column public.reports.latitude is 'Degrees north; needs consent_location.';
comment on column public.reports.longitude is 'Degrees east; needs consent_location.';
comment on column public.reports.status is 'Set by functions only.';
comment on column public.reports.match_status is 'Set by functions only.';
comment on column public.reports.ismatched is 'True once an offer has been accepted.';
comment on column public.reports.created_at is 'When it was filed.';
comment on column public.reports.archived_at is 'When the case was closed.';
comment on column public.reports.anonymised_at is 'When it lost what identifies a person, after the retention time.';

create table public.consent_texts (
  purpose text not null,
  version text not null,
  body text not null,
  introduced_at timestamptz not null,
  created_at timestamptz not null default now(),
  primary key (purpose, version),
  constraint consent_texts_purpose_known check (purpose in ('share_report', 'share_location', 'hand_over')),
  constraint consent_texts_version_format check (version ~ '^[0-9A-Za-z.-]{1,20}$'),
  constraint consent_texts_body_length check (length(body) <= 4000)
);
comment on table public.consent_texts is 'The words that people consent to. A new version is a new row; the newest one introduced is what a consent record names.';
comment on column public.consent_texts.purpose is 'share_report, share_location or hand_over.';
comment on column public.consent_texts.version is 'Such as 2026-11.';
comment on column public.consent_texts.body is 'The English text, to be shown before asking.';
comment on column public.consent_texts.introduced_at is 'From when it counts.';
comment on column public.consent_texts.created_at is 'When the row was made.';
insert into public.consent_texts (purpose, version, body, introduced_at) values
  ('share_report', '2026-11',
    'Professionals who could help are told my gender, age group, what kind of incident it was, which help I '
    || 'ask for and how urgent it is. Whoever accepts by making an appointment can read my whole report. I can '
    || 'withdraw this at any time.',
    '2026-11-01T00:00:00Z'),
  ('share_location', '2026-11',
    'The place that I give is used to find help nearby. Whoever accepts my case can see it.',
    '2026-11-01T00:00:00Z'),
  ('hand_over', '2026-11',
    'My case may be offered to the professional named here. When they accept by making an appointment, they '
    || 'can read my report and the professional before them cannot any more.',
    '2026-11-01T00:00:00Z');

create table public.consents (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.profiles (id) on delete cascade,
  report_id uuid not null references public.reports (report_id) on delete cascade,
  purpose text not null,
  text_version text not null,
  given_at timestamptz not null,
  withdrawn_at timestamptz,
  created_at timestamptz not null default now(),
  constraint consents_text_known foreign key (purpose, text_version) references public.consent_texts (purpose, version),
  constraint consents_purpose_length check (length(purpose) <= 40),
  constraint consents_text_version_length check (length(text_version) <= 20),
  constraint consents_withdrawn_after_given check (withdrawn_at >= given_at)
);
create unique index consents_one_open_idx on public.consents (report_id, purpose) where withdrawn_at is null;
create index consents_report_id_idx on public.consents (report_id);
create index consents_user_id_idx on public.consents (user_id);
create index consents_text_idx on public.consents (purpose, text_version);
comment on table public.consents is 'What a survivor consented to, in which words, from when until when. Written by what acts on the consent; read by the survivor.';
comment on column public.consents.id is 'Key.';
comment on column public.consents.user_id is 'Who consented.';
comment on column public.consents.report_id is 'For which report.';
comment on column public.consents.purpose is 'share_report, share_location or hand_over.';
comment on column public.consents.text_version is 'Version of the words.';
comment on column public.consents.given_at is 'When it was given.';
comment on column public.consents.withdrawn_at is 'When it was withdrawn; null while it holds.';
comment on column public.consents.created_at is 'When the row was made.';

-- supabase/schemas/20_reports/give_consent.sql
-- Writes down what a survivor consents to, in the newest words.
--
-- Called by the triggers and functions that act on the consent, with the rights of those definers. A consent that
-- already holds is not written twice. Locks: none.

create or replace function private.give_consent(user_id uuid, report_id uuid, purposes text[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
begin
  insert into public.consents (user_id, report_id, purpose, text_version, given_at)
  select distinct on (t.purpose) give_consent.user_id, give_consent.report_id, t.purpose, t.version, v_now
  from public.consent_texts as t
  where t.purpose = any (purposes) and t.introduced_at <= v_now
  order by t.purpose, t.introduced_at desc, t.version desc
  on conflict do nothing;
end;
$$;
comment on function private.give_consent(uuid, uuid, text[]) is 'purposes: of share_report, share_location and hand_over.';
revoke all on function private.give_consent(uuid, uuid, text[]) from public, anon, authenticated, service_role;

-- supabase/schemas/20_reports/request_support.sql
-- A survivor decides to share a recorded report: it is matched in this transaction.
--
-- Called by the survivor; a second call changes nothing. Definer: status and consent are not writable directly.
-- Locks: the report.

create or replace function private.request_support(report_id uuid)
returns public.reports
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_report public.reports;
begin
  select r.* into v_report
  from public.reports as r
  where r.report_id = request_support.report_id and r.user_id = v_user_id
  for no key update;
  if not found then
    perform private.raise_error('not_found');
  elsif v_report.status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_report.status = 'archived' then
    perform private.raise_error('case_not_open');
  elsif v_report.status = 'recorded' then
    update public.reports as r
    set consent_to_share = true, status = 'pending'
    where r.report_id = v_report.report_id;
    perform private.match_report(v_report.report_id);
  end if;
  select r.* into v_report from public.reports as r where r.report_id = v_report.report_id;
  return v_report;
end;
$$;
comment on function private.request_support(uuid) is 'Definer: status and consent are not writable directly. The caller must be the survivor.';
revoke all on function private.request_support(uuid) from public, anon, authenticated, service_role;
grant execute on function private.request_support(uuid) to authenticated;

create or replace function public.request_support(report_id uuid)
returns public.reports
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.request_support(report_id);
end;
$$;
comment on function public.request_support(uuid) is
  'Survivor: consents to share a recorded report; it is matched at once. → the report. Errors: not_found, report_withdrawn, case_not_open.';
revoke all on function public.request_support(uuid) from public, anon, authenticated, service_role;
grant execute on function public.request_support(uuid) to anon, authenticated;

-- supabase/schemas/20_reports/tg_reports__record_consents.sql
-- What a report consents to becomes a consent record, and its end too.
--
-- Called by: insert and update on public.reports. Definer: nobody writes consents. Locks: none.

create or replace function private.tg_reports__record_consents()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_over text[] := array_remove(array[
    case when not new.consent_to_share then 'share_report' end, case when not new.consent_location then 'share_location' end,
    case when new.status = 'withdrawn' then 'hand_over' end
  ], null);
begin
  perform private.give_consent(new.user_id, new.report_id, array_remove(array[
    case when new.consent_to_share then 'share_report' end, case when new.consent_location then 'share_location' end
  ], null));
  if tg_op = 'UPDATE' then
    update public.consents as c
    set withdrawn_at = greatest(private.clock(), c.given_at)
    where c.report_id = new.report_id and c.withdrawn_at is null and c.purpose = any (v_over);
  end if;
  return null;
end;
$$;
comment on function private.tg_reports__record_consents() is 'Definer: nobody writes consents. Opens and ends consent records as the report says.';
revoke all on function private.tg_reports__record_consents() from public, anon, authenticated, service_role;

create trigger _400_record_consents_insert
after insert on public.reports
for each row
when (new.consent_to_share or new.consent_location)
execute function private.tg_reports__record_consents();

create trigger _400_record_consents_update
after update of consent_to_share, consent_location, status on public.reports
for each row
when (
  old.consent_to_share <> new.consent_to_share
  or old.consent_location <> new.consent_location
  or (new.status = 'withdrawn' and old.status <> 'withdrawn')
)
execute function private.tg_reports__record_consents();

-- supabase/schemas/20_reports/tg_reports__validate.sql
-- Refuses a malformed report with a registered error, before a constraint would put the row into an error text.
--
-- Called by: insert and update on public.reports, for every role. Sets the status from the consent on insert.
-- Locks: none. The constraints say the same and stay as the backstop.

create or replace function private.tg_reports__validate()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_problem text;
  v_now timestamptz := private.clock();
begin
  if tg_op = 'UPDATE' and old.status in ('archived', 'withdrawn') and new.status = old.status
    and new.anonymised_at is not distinct from old.anonymised_at
  then
    if old.status = 'withdrawn' then
      perform private.raise_error('report_withdrawn');
    end if;
    perform private.raise_error('case_not_open', 'An archived report is not changed any more.');
  end if;

  if (new.latitude is not null or new.longitude is not null) and new.consent_location is distinct from true then
    perform private.raise_error(
      'consent_required', 'A place needs consent_location.', 'Leave the place out, or set consent_location to true.'
    );
  end if;

  v_problem := case
    when new.incident_type is null then 'incident_type: missing'
    when new.required_services is null then 'required_services: missing'
    when new.urgency is null or new.gender is null or new.contact_preference is null or new.special_needs is null
      or new.consent_to_share is null or new.consent_location is null
      then 'urgency, gender, contact_preference, special_needs and the consents: leave out what is not known, null is no answer'
    when length(new.incident_description) > 20000 then 'incident_description: at most 20000 characters'
    when new.incident_date = 'infinity' or new.incident_date = '-infinity' then 'incident_date: not a day'
    when new.incident_date > (v_now::date + 1) then 'incident_date: in the future'
    when new.incident_date < date '1900-01-01' then 'incident_date: before 1900'
    when cardinality(new.required_services) = 0 then 'required_services: at least one'
    when cardinality(new.required_services) > 10 then 'required_services: at most 10'
    when array_ndims(new.required_services) > 1 then 'required_services: a plain list'
    when array_position(new.required_services, null) is not null then 'required_services: an element is null'
    when not private.is_clean_text(new.survivor_name, 200) then 'survivor_name: one line of at most 200 characters'
    when new.contact_email !~ '^[^@[:space:][:cntrl:]<>",;]+@[^@[:space:][:cntrl:]<>",;]+$'
      or length(new.contact_email) > 254 then 'contact_email: not an address'
    when new.contact_phone !~ '^\+?[0-9 ()./-]{3,32}$' then 'contact_phone: digits, spaces and ( ) . / - only'
    when (new.safe_contact_from is null) <> (new.safe_contact_until is null) then 'safe_contact_from and safe_contact_until: both or none'
    when length(new.emergency_contact) > 500 then 'emergency_contact: at most 500 characters'
    when not private.is_clean_text(new.preferred_language, 35) then 'preferred_language: at most 35 characters'
    when not private.is_short_list(new.special_needs, 20, 60) then 'special_needs: at most 20 words of at most 60 characters'
    when (new.latitude is null) <> (new.longitude is null) then 'latitude and longitude: both or none'
    when not new.latitude between -90 and 90 then 'latitude: between -90 and 90'
    when not new.longitude between -180 and 180 then 'longitude: between -180 and 180'
  end;
  if v_problem is not null then
    perform private.raise_error('invalid_input', v_problem);
  end if;

  if tg_op = 'INSERT' then
    if cardinality(new.required_services) > 1 then
      new.required_services := array(
        select s.service from unnest(new.required_services) with ordinality as s (service, place)
        group by s.service order by min(s.place)
      );
    end if;
    new.status := case when new.consent_to_share then 'pending' else 'recorded' end;
    new.match_status := 'pending';
    new.ismatched := false;
    new.archived_at := null;
    new.anonymised_at := null;
    new.created_at := v_now;
  end if;
  return new;
end;
$$;
comment on function private.tg_reports__validate() is 'Raises consent_required or invalid_input (naming the field), and sets the first status from the consent.';
revoke all on function private.tg_reports__validate() from public, anon, authenticated, service_role;

create trigger _100_validate_insert
before insert on public.reports
for each row execute function private.tg_reports__validate();

-- No client may write match_status: an open report whose match_status changes is being handled by functions of ours, which
-- write nothing that was not there.
create trigger _100_validate_update
before update on public.reports
for each row
when (new.match_status = old.match_status or old.status in ('archived', 'withdrawn'))
execute function private.tg_reports__validate();
