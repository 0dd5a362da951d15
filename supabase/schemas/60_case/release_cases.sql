-- A professional cannot go on: every accepted case of theirs is taken from them and goes back into matching at once.
--
-- Called when verification ends, and before an account is erased; the caller holds the professional's lock. Future
-- sessions are cancelled, the response clock starts anew, administrators and the survivor are told. Locks: see
-- lock_match, survivors in the order of their ids.

create or replace function private.release_cases(professional_id uuid, service_id uuid default null)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_case record;
  v_locked record;
  v_report public.reports;
  v_released integer := 0;
begin
  for v_case in
    select m.id, m.service_type
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.professional_id = release_cases.professional_id and m.match_status_type = 'accepted'
      and (release_cases.service_id is null or m.service_id = release_cases.service_id)
    order by r.user_id, r.report_id, m.id
  loop
    select * into v_locked from private.lock_match(v_case.id);
    continue when (v_locked.match).match_status_type <> 'accepted';
    select r.* into v_report from public.reports as r where r.report_id = (v_locked.match).report_id;
    update public.matched_services as m set match_status_type = 'withdrawn', closed_at = v_now where m.id = v_case.id;
    update public.appointments as a
    set status = 'cancelled'
    where a.matched_services = v_case.id and a.status in ('requested', 'confirmed')
      and upper(private.appointment_during(a.appointment_date, a.duration_minutes)) > v_now;
    insert into private.response_clocks as c (report_id, service_type, urgency, started_at, searched_at)
    values (v_report.report_id, v_case.service_type, v_report.urgency, v_now, v_now)
    on conflict on constraint response_clocks_pkey do update
    set started_at = v_now, searched_at = v_now, nudged_at = null, widened_at = null, opened_at = null, escalated_at = null,
      settled_at = null;
    if not exists (
      select 1
      from public.matched_services as m
      where m.report_id = v_report.report_id and m.match_status_type in ('accepted', 'completed')
    ) then
      update public.reports as r
      set status = 'pending', ismatched = false
      where r.report_id = v_report.report_id
      returning r.* into v_report;
    end if;
    perform private.escalate(v_report, v_case.service_type, 'professional_left');
    -- The clock goes on all the same: what was escalated may still find somebody by itself.
    update private.response_clocks as c
    set escalated_at = null
    where c.report_id = v_report.report_id and c.service_type = v_case.service_type;
    perform private.make_offers(v_report, v_case.service_type, private.offers_wanted(v_report.urgency));
    perform private.update_match_status(v_report.report_id);
    perform private.notify(array[v_report.user_id], 'case_reopened', report_id => v_report.report_id);
    v_released := v_released + 1;
  end loop;
  return v_released;
end;
$$;
comment on function private.release_cases(uuid, uuid) is 'Ends the professional''s accepted cases (of one service, or all), escalates them as professional_left and matches them again; gives back how many.';
revoke all on function private.release_cases(uuid, uuid) from public, anon, authenticated, service_role;
