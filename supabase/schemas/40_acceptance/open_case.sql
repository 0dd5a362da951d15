-- The only door to a person's story: the whole report, for the professional who accepted it, each time logged.
--
-- Called by that professional. Definer: professionals have no right on reports. The log entry is written in the same
-- transaction, so there is no reading without one. The report is locked against a withdrawal at the same moment.

create or replace function private.open_case(match_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_match public.matched_services;
  v_report public.reports;
begin
  select m.* into v_match
  from public.matched_services as m
  where m.id = open_case.match_id and m.professional_id = v_user_id;
  if not found then
    perform private.raise_error('not_found');
  end if;
  select r.* into v_report from public.reports as r where r.report_id = v_match.report_id for share;
  select m.* into v_match from public.matched_services as m where m.id = v_match.id;
  if v_report.status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif not exists (
    select 1 from public.professionals as p where p.id = v_user_id and p.verification_status = 'verified'
  ) then
    perform private.raise_error('not_verified');
  elsif v_match.match_status_type not in ('accepted', 'completed') then
    perform private.raise_error(
      'case_not_open', 'A case opens when its offer has been accepted with an appointment.', 'Accept the offer first.'
    );
  elsif not private.has_case_access(v_match) then
    perform private.raise_error('case_not_open', 'The case was closed some time ago.', 'Nothing more can be done with this case.');
  end if;

  insert into private.access_log_entries (report_id, survivor_id, match_id, actor_id, actor_role, door, opened_at)
  values (v_report.report_id, v_report.user_id, v_match.id, v_user_id, 'professional', 'open_case', private.clock());
  perform private.record_audit(
    'open_case', v_user_id, v_report.user_id, '{}',
    jsonb_build_object('report_id', v_report.report_id, 'match_id', v_match.id)
  );
  return private.case_file(v_report, v_match.id);
end;
$$;
comment on function private.open_case(uuid) is 'Definer: professionals have no right on reports. The caller must be the professional who accepted; writes the access log.';
revoke all on function private.open_case(uuid) from public, anon, authenticated, service_role;
grant execute on function private.open_case(uuid) to authenticated;

create or replace function public.open_case(match_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.open_case(match_id);
end;
$$;
comment on function public.open_case(uuid) is
  'Professional who accepted: the whole report with contact, safe-contact rules and earlier sessions; logged, and the survivor can read the log. → jsonb. Errors: not_found, case_not_open, report_withdrawn, not_verified.';
revoke all on function public.open_case(uuid) from public, anon, authenticated, service_role;
grant execute on function public.open_case(uuid) to anon, authenticated;
