-- The case file: everything of a report that the one who may open it needs.
--
-- Called by the doors (open_case), which check and log first. Locks: none.

create or replace function private.case_file(report public.reports, match_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'report_id', report.report_id,
    'case_code', report.case_code,
    'match_id', match_id,
    'status', report.status,
    'urgency', report.urgency,
    'required_services', report.required_services,
    'created_at', report.created_at,
    'incident_type', report.incident_type,
    'incident_date', report.incident_date,
    'incident_description', report.incident_description,
    'gender', report.gender,
    'age_category', report.age_category,
    'survivor_name', report.survivor_name,
    'contact_email', report.contact_email,
    'contact_phone', report.contact_phone,
    'contact_preference', report.contact_preference,
    'safe_contact_from', report.safe_contact_from,
    'safe_contact_until', report.safe_contact_until,
    'time_zone', (select p.time_zone from public.profiles as p where p.id = report.user_id),
    'emergency_contact', report.emergency_contact,
    'preferred_language', report.preferred_language,
    'preferred_professional_gender', report.preferred_professional_gender,
    'special_needs', report.special_needs,
    'latitude', report.latitude,
    'longitude', report.longitude,
    'sessions', coalesce((
      select jsonb_agg(
        jsonb_build_object(
          'appointment_id', a.appointment_id, 'appointment_date', a.appointment_date, 'duration_minutes', a.duration_minutes,
          'appointment_type', a.appointment_type, 'status', a.status
        )
        order by a.appointment_date
      )
      from public.appointments as a
      where a.matched_services = match_id
    ), '[]'::jsonb)
  );
$$;
comment on function private.case_file(public.reports, uuid) is 'The whole report as jsonb, with the sessions held under the offer.';
revoke all on function private.case_file(public.reports, uuid) from public, anon, authenticated, service_role;
