-- The emergency door: an administrator opens a report, says why, and the survivor is told.
--
-- Called by administrators. Definer: no administrator has a right on reports. The log entry, the ledger and the
-- notification are in the same transaction, so there is no reading without them. What was never shared, or is no longer,
-- stays shut. Locks: the report, shared, against its withdrawal.

create or replace function private.break_glass(report_id uuid, reason text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_admin_id uuid := private.require_admin();
  v_report public.reports;
begin
  if reason is null or length(btrim(reason, E' \t\r\n')) < 20 or length(reason) > 1000 then
    perform private.raise_error(
      'invalid_input', 'reason: 20 to 1000 characters.',
      'Say why this report has to be opened; the survivor reads it.'
    );
  end if;
  select r.* into v_report from public.reports as r where r.report_id = break_glass.report_id for share;
  if not found then
    perform private.raise_error('not_found');
  elsif v_report.status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_report.status = 'recorded' then
    perform private.raise_error('consent_required', 'The report was recorded and never shared.');
  end if;
  insert into private.access_log_entries (report_id, survivor_id, actor_id, actor_role, door, reason, opened_at)
  values (v_report.report_id, v_report.user_id, v_admin_id, 'admin', 'break_glass', break_glass.reason, private.clock());
  perform private.record_audit(
    'break_glass', v_admin_id, v_report.user_id, '{}',
    jsonb_build_object('report_id', v_report.report_id, 'reason', break_glass.reason)
  );
  perform private.notify(array[v_report.user_id], 'access_opened', report_id => v_report.report_id);
  return private.case_file(v_report, null);
end;
$$;
comment on function private.break_glass(uuid, text) is 'Definer: administrators have no right on reports. The caller must be one, with a reason; writes the access log and tells the survivor.';
revoke all on function private.break_glass(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.break_glass(uuid, text) to authenticated;

create or replace function public.break_glass(report_id uuid, reason text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.break_glass(report_id, reason);
end;
$$;
comment on function public.break_glass(uuid, text) is
  'Administrator in an emergency: the whole report, as open_case; needs a reason of 20 to 1000 characters, is logged, and the survivor is told and reads the reason. → jsonb. Errors: not_allowed, invalid_input, not_found, consent_required, report_withdrawn.';
revoke all on function public.break_glass(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.break_glass(uuid, text) to anon, authenticated;
