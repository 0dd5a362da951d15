-- A survivor says that the case is not finished: the professional's mark goes, and the boost with it.
--
-- Called by the survivor while they have not confirmed; repeated, it changes nothing. Definer: offers are not writable
-- directly. Locks: see lock_match.

create or replace function private.dispute_completion(match_id uuid)
returns public.matched_services
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_locked record;
  v_match public.matched_services;
begin
  if not exists (
    select 1
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.id = dispute_completion.match_id and r.user_id = v_user_id
      -- To a survivor, an offer that nobody accepted does not exist.
      and (
        m.match_status_type in ('accepted', 'completed')
        or (m.match_status_type = 'withdrawn' and m.responded_at is not null)
      )
  ) then
    perform private.raise_error('not_found');
  end if;
  select * into v_locked from private.lock_match(match_id);
  v_match := v_locked.match;
  if (v_locked.report).status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_match.match_status_type <> 'accepted' or v_match.survivor_completed_at is not null then
    perform private.raise_error('invalid_transition', 'The completion has already been confirmed.');
  elsif v_match.professional_completed_at is not null then
    update public.matched_services as m
    set professional_completed_at = null
    where m.id = v_match.id
    returning m.* into v_match;
    delete from private.completion_boosts as b
    where b.professional_id = v_match.professional_id and b.report_id = v_match.report_id
      -- The boost is given once per case; it stays while another part of the same case is marked.
      and not exists (
        select 1
        from public.matched_services as m
        where m.report_id = v_match.report_id and m.professional_id = v_match.professional_id
          and m.professional_completed_at is not null
      );
    perform private.notify(array[v_match.professional_id], 'completion_disputed', match_id => v_match.id);
  end if;
  return v_match;
end;
$$;
comment on function private.dispute_completion(uuid) is 'Definer: offers are not writable directly. The caller must be the survivor of the case.';
revoke all on function private.dispute_completion(uuid) from public, anon, authenticated, service_role;
grant execute on function private.dispute_completion(uuid) to authenticated;

create or replace function public.dispute_completion(match_id uuid)
returns public.matched_services
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.dispute_completion(match_id);
end;
$$;
comment on function public.dispute_completion(uuid) is
  'Survivor: undoes the professional''s mark of completion while it is unconfirmed; the boost goes. → the offer. Errors: not_found, invalid_transition, report_withdrawn.';
revoke all on function public.dispute_completion(uuid) from public, anon, authenticated, service_role;
grant execute on function public.dispute_completion(uuid) to anon, authenticated;
