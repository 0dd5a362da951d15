-- The cases whose conversation the caller may read: as survivor, or as the professional who still has access.
--
-- Called by the policies of messages and case_notes, once for each statement. Definer: how long access lasts is a
-- private setting, and no professional reads whether a report is withdrawn. Locks: none.

create or replace function private.readable_cases()
returns uuid[]
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
begin
  return array(
    select m.id
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.professional_id = v_user_id and m.match_status_type in ('accepted', 'completed')
      and r.status <> 'withdrawn' and private.has_case_access(m)
    union all
    select m.id
    from public.reports as r
    join public.matched_services as m on m.report_id = r.report_id
    where r.user_id = v_user_id and m.match_status_type in ('accepted', 'completed')
  );
end;
$$;
comment on function private.readable_cases() is 'Definer: access depends on settings and states that the parties do not read. Ids of offers to which the caller is a party.';
revoke all on function private.readable_cases() from public, anon, authenticated, service_role;
grant execute on function private.readable_cases() to authenticated;
