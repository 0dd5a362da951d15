-- What was tried for an escalated case: how many offers were made and what became of them.
--
-- Called by the view public.escalations, by administrators. Definer, because no administrator reads offers; it gives
-- back counts only. Locks: none.

create or replace function private.escalation_attempts(report_id uuid, service_type public.service_type)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if not private.is_admin() then
    return null;
  end if;
  return (
    select jsonb_build_object(
      'offered', count(*),
      'pending', count(*) filter (where m.match_status_type = 'pending'),
      'declined', count(*) filter (where m.match_status_type = 'declined'),
      'expired', count(*) filter (where m.match_status_type = 'expired')
    )
    from public.matched_services as m
    where m.report_id = escalation_attempts.report_id and m.service_type = escalation_attempts.service_type
  );
end;
$$;
comment on function private.escalation_attempts(uuid, public.service_type) is 'Definer: administrators do not read offers. Counts of offers by outcome; null for anybody else.';
revoke all on function private.escalation_attempts(uuid, public.service_type) from public, anon, authenticated, service_role;
grant execute on function private.escalation_attempts(uuid, public.service_type) to authenticated, service_role;
