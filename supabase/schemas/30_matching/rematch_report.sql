-- An administrator has a waiting report matched again, now.
--
-- Called by administrators; for each required service that nobody holds it asks as many new candidates as its urgency
-- wants, beside those who still think. Nobody is asked twice. Definer: it writes offers. Locks: the report.

create or replace function private.rematch_report(report_id uuid)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_admin_id uuid := private.require_admin();
  v_report public.reports;
  v_service public.service_type;
  v_made integer := 0;
begin
  select r.* into v_report from public.reports as r where r.report_id = rematch_report.report_id for no key update;
  if not found then
    perform private.raise_error('not_found');
  elsif v_report.status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_report.status not in ('pending', 'active') then
    perform private.raise_error('case_not_open', 'Only a report that may be shared and is not closed can be matched.');
  end if;
  for v_service in
    select c.service_type
    from private.response_clocks as c
    where c.report_id = v_report.report_id and c.settled_at is null
    order by c.service_type
  loop
    v_made := v_made + private.make_offers(v_report, v_service, private.offers_wanted(v_report.urgency));
  end loop;
  perform private.update_match_status(v_report.report_id);
  perform private.record_audit(
    'report_rematched', v_admin_id, v_report.user_id, jsonb_build_object('offers', v_made),
    jsonb_build_object('report_id', v_report.report_id)
  );
  return v_made;
end;
$$;
comment on function private.rematch_report(uuid) is 'Definer: offers are not writable directly. The caller must be an administrator.';
revoke all on function private.rematch_report(uuid) from public, anon, authenticated, service_role;
grant execute on function private.rematch_report(uuid) to authenticated;

create or replace function public.rematch_report(report_id uuid)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.rematch_report(report_id);
end;
$$;
comment on function public.rematch_report(uuid) is
  'Administrator: has every part of a report that nobody holds matched again. → how many offers were made. Errors: not_allowed, not_found, case_not_open, report_withdrawn.';
revoke all on function public.rematch_report(uuid) from public, anon, authenticated, service_role;
grant execute on function public.rematch_report(uuid) to anon, authenticated;
