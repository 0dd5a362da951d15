-- A survivor decides to share a recorded report: it is matched in this transaction.
--
-- Called by the survivor; a second call changes nothing. Definer: status and consent are not writable directly.
-- Locks: the report.

create or replace function private.request_support(report_id uuid)
returns public.reports
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_report public.reports;
begin
  select r.* into v_report
  from public.reports as r
  where r.report_id = request_support.report_id and r.user_id = v_user_id
  for no key update;
  if not found then
    perform private.raise_error('not_found');
  elsif v_report.status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_report.status = 'archived' then
    perform private.raise_error('case_not_open');
  elsif v_report.status = 'recorded' then
    update public.reports as r
    set consent_to_share = true, status = 'pending'
    where r.report_id = v_report.report_id;
    perform private.match_report(v_report.report_id);
  end if;
  select r.* into v_report from public.reports as r where r.report_id = v_report.report_id;
  return v_report;
end;
$$;
comment on function private.request_support(uuid) is 'Definer: status and consent are not writable directly. The caller must be the survivor.';
revoke all on function private.request_support(uuid) from public, anon, authenticated, service_role;
grant execute on function private.request_support(uuid) to authenticated;

create or replace function public.request_support(report_id uuid)
returns public.reports
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.request_support(report_id);
end;
$$;
comment on function public.request_support(uuid) is
  'Survivor: consents to share a recorded report; it is matched at once. → the report. Errors: not_found, report_withdrawn, case_not_open.';
revoke all on function public.request_support(uuid) from public, anon, authenticated, service_role;
grant execute on function public.request_support(uuid) to anon, authenticated;
