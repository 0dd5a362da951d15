-- Reports that ended long ago lose everything that identifies a person; what is left can be counted and no more.
--
-- Called by purge_expired. The case code changes too, because calendars still know the old one; and what the offers, the
-- sessions and the access log of the report say in free words goes. Locks: the reports, skipping locked ones.

create or replace function private.purge_reports(cutoff timestamptz, max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_reports uuid[] := array(
    select r.report_id
    from public.reports as r
    where r.status in ('archived', 'withdrawn') and r.anonymised_at is null
      and coalesce(
        (select max(c.withdrawn_at) from public.consents as c where c.report_id = r.report_id and r.status = 'withdrawn'),
        r.archived_at, r.created_at
      ) < cutoff
    order by r.archived_at
    limit max_rows
    for no key update of r skip locked
  );
begin
  update public.reports as r
  set anonymised_at = private.clock(), case_code = private.new_case_code(), incident_description = null, incident_date = null,
    survivor_name = null, contact_email = null, contact_phone = null, contact_preference = 'do_not_contact',
    safe_contact_from = null, safe_contact_until = null, emergency_contact = null, preferred_language = null,
    preferred_professional_gender = null, special_needs = '{}', consent_location = false, latitude = null, longitude = null
  where r.report_id = any (v_reports);
  update public.matched_services as m
  set decline_reason = null
  where m.report_id = any (v_reports) and m.decline_reason is not null;
  update public.appointments as a
  set meeting_url = null, location = null, cancel_reason = null
  from public.matched_services as m
  where m.report_id = any (v_reports) and a.matched_services = m.id and a.status not in ('requested', 'confirmed')
    and (a.meeting_url is not null or a.location is not null or a.cancel_reason is not null);
  update private.access_log_entries as e
  set reason = null
  where e.report_id = any (v_reports) and e.reason is not null;
  return cardinality(v_reports);
end;
$$;
comment on function private.purge_reports(timestamptz, integer) is 'Anonymises at most max_rows reports that were archived or withdrawn before cutoff; gives back how many.';
revoke all on function private.purge_reports(timestamptz, integer) from public, anon, authenticated, service_role;
