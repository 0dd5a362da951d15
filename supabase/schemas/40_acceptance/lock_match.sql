-- Locks everything that a change of one offer may touch, always in the same order, and reads it fresh.
--
-- Called by acceptance, decline and completion. Order: professional, survivor, report, offer. Because everybody takes
-- the locks in this order, and the professional's comes first, thirty-two acceptances of one report queue up instead of
-- deadlocking, and no two appointments of one person are made at once. An offer that is gone by then is not_found.

create or replace function private.lock_match(match_id uuid)
returns table (match public.matched_services, report public.reports)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_professional_id uuid;
  v_survivor_id uuid;
  v_report_id uuid;
begin
  select m.professional_id, r.user_id, r.report_id into v_professional_id, v_survivor_id, v_report_id
  from public.matched_services as m
  join public.reports as r on r.report_id = m.report_id
  where m.id = lock_match.match_id;
  if not found then
    perform private.raise_error('not_found');
  end if;
  perform 1 from public.professionals as p where p.id = v_professional_id for no key update;
  perform 1 from public.profiles as p where p.id = v_survivor_id for no key update;
  select r.* into report from public.reports as r where r.report_id = v_report_id for no key update;
  select m.* into match from public.matched_services as m where m.id = lock_match.match_id for no key update;
  if match.id is null or report.report_id is null then
    perform private.raise_error('not_found');
  end if;
  return next;
end;
$$;
comment on function private.lock_match(uuid) is 'Locks professional, survivor, report and offer in this order and gives back the offer and its report as they are then; raises not_found.';
revoke all on function private.lock_match(uuid) from public, anon, authenticated, service_role;
