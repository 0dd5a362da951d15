-- The case code that one party may see beside an appointment.
--
-- Called by add_to_calendar_links and calendar_feed. The survivor always; the professional while the case is accepted or
-- completed, not once the report is withdrawn. Locks: none.

create or replace function private.case_code_for(appointment public.appointments, user_id uuid)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select r.case_code
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.id = appointment.matched_services
      and (r.user_id = case_code_for.user_id
        or (m.professional_id = case_code_for.user_id and m.match_status_type in ('accepted', 'completed')))
  );
end;
$$;
comment on function private.case_code_for(public.appointments, uuid) is 'The code, or null for none.';
revoke all on function private.case_code_for(public.appointments, uuid) from public, anon, authenticated, service_role;
