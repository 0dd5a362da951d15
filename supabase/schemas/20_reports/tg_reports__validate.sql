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
