-- Whether a survivor's case with a professional is urgent and the professional works around the clock for such cases.
--
-- Called by available_slots and reschedule_appointment to lift the working hours. Locks: none.

create or replace function private.is_crisis_case(professional_id uuid, survivor_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return exists (
    select 1
    from public.reports as r
    join public.matched_services as m on m.report_id = r.report_id
    join public.support_services as s on s.id = m.service_id
    left join public.scheduling_preferences as p on p.professional_id = m.professional_id
    where r.user_id = is_crisis_case.survivor_id and m.professional_id = is_crisis_case.professional_id
      and m.match_status_type = 'accepted' and m.urgency = 'high'
      and (s.crisis_24_7 or p.crisis_24_7)
  );
end;
$$;
comment on function private.is_crisis_case(uuid, uuid) is 'True when the survivor has an accepted urgent case with a professional of a 24/7 crisis service.';
revoke all on function private.is_crisis_case(uuid, uuid) from public, anon, authenticated, service_role;
