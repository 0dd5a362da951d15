-- How far each required service of a report has come, in words for the survivor.
--
-- Called by the view public.report_progress. Definer: pending offers are hidden from survivors, but not that there are
-- some. Gives null to anybody but the survivor. Locks: none.

create or replace function private.service_stages(report_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_report public.reports;
begin
  select r.* into v_report from public.reports as r where r.report_id = service_stages.report_id and r.user_id = auth.uid();
  if not found then
    return null;
  end if;
  return (
    select jsonb_object_agg(required.service_type, case
      when v_report.status = 'withdrawn' then 'withdrawn'
      when holder.match_status_type = 'completed' or v_report.status = 'archived' then 'archived'
      when holder.professional_completed_at is not null or holder.survivor_completed_at is not null then 'awaiting_confirmation'
      when holder.id is not null and exists (
        select 1 from public.appointments as a where a.matched_services = holder.id and a.status = 'completed'
      ) then 'session_completed'
      when holder.id is not null then 'accepted_scheduled'
      -- As update_match_status: silence comes before open offers, want of candidates after them.
      when exists (
        select 1 from private.escalations as e
        where e.report_id = v_report.report_id and e.service_type = required.service_type and e.resolved_at is null
          and e.reason = 'no_answer'
      ) then 'escalated'
      when exists (
        select 1 from public.matched_services as m
        where m.report_id = v_report.report_id and m.service_type = required.service_type and m.match_status_type = 'pending'
      ) then 'matched'
      when exists (
        select 1 from private.escalations as e
        where e.report_id = v_report.report_id and e.service_type = required.service_type and e.resolved_at is null
      ) then 'escalated'
      else 'created'
    end)
    from unnest(v_report.required_services) as required (service_type)
    left join public.matched_services as holder
      on holder.report_id = v_report.report_id and holder.service_type = required.service_type
      and holder.match_status_type in ('accepted', 'completed')
  );
end;
$$;
comment on function private.service_stages(uuid) is 'Definer: survivors do not read pending offers. {service type: stage} of an own report, null for anybody else''s.';
revoke all on function private.service_stages(uuid) from public, anon, authenticated, service_role;
grant execute on function private.service_stages(uuid) to authenticated;
