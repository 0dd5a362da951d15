-- Dual completion: each party marks its side; with both marks the case is closed and the report archived.
--
-- Called by either party; repeated, it changes nothing. The professional's mark alone frees their capacity and boosts
-- their score, once per case. Definer: offers are not writable directly. Locks: see lock_match; then waiting reports,
-- skipping locked ones, because the professional has become free.

create or replace function private.complete_case(match_id uuid)
returns public.matched_services
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_now timestamptz := private.clock();
  v_locked record;
  v_match public.matched_services;
  v_survivor_id uuid;
begin
  select r.user_id into v_survivor_id
  from public.matched_services as m
  join public.reports as r on r.report_id = m.report_id
  where m.id = complete_case.match_id and v_user_id in (m.professional_id, r.user_id);
  if not found then
    perform private.raise_error('not_found');
  end if;

  select * into v_locked from private.lock_match(match_id);
  v_match := v_locked.match;
  if v_match.match_status_type = 'completed' then
    return v_match;
  elsif (v_locked.report).status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_match.match_status_type <> 'accepted' then
    -- To a survivor, an offer that nobody accepted does not exist.
    perform private.raise_error(case when v_match.professional_id = v_user_id then 'case_not_open' else 'not_found' end);
  end if;

  if v_match.professional_id = v_user_id and v_match.professional_completed_at is null then
    update public.matched_services as m
    set professional_completed_at = v_now
    where m.id = v_match.id
    returning m.* into v_match;
    insert into private.completion_boosts (professional_id, report_id, granted_at)
    values (v_user_id, v_match.report_id, v_now)
    on conflict do nothing;
    if v_match.survivor_completed_at is null then
      perform private.notify(array[v_survivor_id], 'completion_requested', match_id => v_match.id);
    end if;
    perform private.rematch_waiting(array[v_user_id]);
  elsif v_survivor_id = v_user_id and v_match.survivor_completed_at is null then
    update public.matched_services as m
    set survivor_completed_at = v_now
    where m.id = v_match.id
    returning m.* into v_match;
    if v_match.professional_completed_at is null then
      perform private.notify(array[v_match.professional_id], 'completion_requested', match_id => v_match.id);
    end if;
  end if;

  if v_match.professional_completed_at is not null and v_match.survivor_completed_at is not null then
    update public.matched_services as m
    set match_status_type = 'completed', closed_at = v_now
    where m.id = v_match.id
    returning m.* into v_match;
    update public.appointments as a
    set status = 'cancelled', cancelled_by = v_user_id
    where a.matched_services = v_match.id and a.status in ('requested', 'confirmed') and a.appointment_date > v_now;
    perform private.notify(array[v_match.professional_id, v_survivor_id], 'case_closed', match_id => v_match.id);
    perform private.archive_report(v_match.report_id);
  end if;
  return v_match;
end;
$$;
comment on function private.complete_case(uuid) is 'Definer: offers are not writable directly. The caller must be the professional or the survivor of the case.';
revoke all on function private.complete_case(uuid) from public, anon, authenticated, service_role;
grant execute on function private.complete_case(uuid) to authenticated;

create or replace function public.complete_case(match_id uuid)
returns public.matched_services
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.complete_case(match_id);
end;
$$;
comment on function public.complete_case(uuid) is
  'Either party: marks the own side of an accepted case complete; with both marks it is closed, and the report archived when nothing is open. → the offer. Errors: not_found, case_not_open, report_withdrawn.';
revoke all on function public.complete_case(uuid) from public, anon, authenticated, service_role;
grant execute on function public.complete_case(uuid) to anon, authenticated;
