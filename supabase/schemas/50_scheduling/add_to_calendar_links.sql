-- Either party puts an appointment into a calendar of their own by a link.
--
-- Called by either party; anybody else's appointment does not exist. Definer: the case code is in the report, which the
-- professional cannot read. Locks: none.

create or replace function private.add_to_calendar_links(appointment_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_appointment public.appointments;
begin
  select a.* into v_appointment
  from public.appointments as a
  where a.appointment_id = add_to_calendar_links.appointment_id and v_user_id in (a.professional_id, a.survivor_id);
  if not found then
    perform private.raise_error('not_found');
  end if;
  return private.calendar_links(v_appointment, private.case_code_for(v_appointment, v_user_id));
end;
$$;
comment on function private.add_to_calendar_links(uuid) is 'Definer: the case code is in the report. The caller must be a party of the appointment.';
revoke all on function private.add_to_calendar_links(uuid) from public, anon, authenticated, service_role;
grant execute on function private.add_to_calendar_links(uuid) to authenticated;

create or replace function public.add_to_calendar_links(appointment_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.add_to_calendar_links(appointment_id);
end;
$$;
comment on function public.add_to_calendar_links(uuid) is
  'Either party: neutral links that add the appointment to a calendar. → jsonb {google, outlook, office365, yahoo, ics}; ics is the calendar file as a data address. Errors: not_found.';
revoke all on function public.add_to_calendar_links(uuid) from public, anon, authenticated, service_role;
grant execute on function public.add_to_calendar_links(uuid) to anon, authenticated;
