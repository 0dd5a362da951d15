-- Matching: starts the response clock of every required service of a report and makes the first offers.
--
-- Called by the insert of a report, request_support and rematch. Runs with the rights of its definer callers. A service
-- whose clock already runs, or that somebody has taken, is left alone. Locks: the report row.

create or replace function private.match_report(report_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_report public.reports;
  v_service public.service_type;
  v_now timestamptz := private.clock();
begin
  select r.* into v_report from public.reports as r where r.report_id = match_report.report_id for no key update;
  if v_report.status not in ('pending', 'active') or not v_report.consent_to_share then
    return;
  end if;
  foreach v_service in array v_report.required_services loop
    insert into private.response_clocks (report_id, service_type, urgency, started_at, searched_at)
    values (v_report.report_id, v_service, v_report.urgency, v_now, v_now)
    on conflict do nothing;
    if found then
      perform private.ask_candidates(v_report, v_service, 0, private.offers_wanted(v_report.urgency));
    end if;
  end loop;
  perform private.update_match_status(v_report.report_id);
end;
$$;
comment on function private.match_report(uuid) is 'First matching of a report that may be shared; safe to repeat.';
revoke all on function private.match_report(uuid) from public, anon, authenticated, service_role;
