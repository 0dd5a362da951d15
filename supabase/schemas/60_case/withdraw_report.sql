-- A survivor withdraws consent: every professional's access ends in this transaction, and the future is cancelled.
--
-- Called by the survivor, for an archived report too; a second call changes nothing. Definer: offers and appointments
-- are not writable directly. Locks: the professionals who hold live appointments of the report, in the order of their
-- ids, then survivor, report.

create or replace function private.withdraw_report(report_id uuid)
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
  if not exists (
    select 1 from public.reports as r where r.report_id = withdraw_report.report_id and r.user_id = v_user_id
  ) then
    perform private.raise_error('not_found');
  end if;
  perform 1
  from public.professionals as p
  where p.id in (
    select m.professional_id from public.matched_services as m where m.report_id = withdraw_report.report_id
  )
  order by p.id
  for no key update;
  perform 1 from public.profiles as p where p.id = v_user_id for no key update;
  select r.* into v_report from public.reports as r where r.report_id = withdraw_report.report_id for no key update;
  if v_report.status <> 'withdrawn' then
    perform private.end_report(v_report);
    select r.* into v_report from public.reports as r where r.report_id = v_report.report_id;
  end if;
  return v_report;
end;
$$;
comment on function private.withdraw_report(uuid) is 'Definer: offers and appointments are not writable directly. The caller must be the survivor.';
revoke all on function private.withdraw_report(uuid) from public, anon, authenticated, service_role;
grant execute on function private.withdraw_report(uuid) to authenticated;

create or replace function public.withdraw_report(report_id uuid)
returns public.reports
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.withdraw_report(report_id);
end;
$$;
comment on function public.withdraw_report(uuid) is
  'Survivor: withdraws consent; offers and future appointments end and every professional''s access with them. → the report. Errors: not_found.';
revoke all on function public.withdraw_report(uuid) from public, anon, authenticated, service_role;
grant execute on function public.withdraw_report(uuid) to anon, authenticated;
