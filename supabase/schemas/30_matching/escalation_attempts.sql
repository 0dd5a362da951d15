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
      'expired', count(*) filter (where m.match_status_type = 'expired'),
      'withdrawn', count(*) filter (where m.match_status_type = 'withdrawn')
    ) || coalesce((
      select jsonb_build_object(
        'nudged', c.nudged_at is not null, 'widened', c.widened_at is not null, 'opened', c.opened_at is not null
      )
      from private.response_clocks as c
      where c.report_id = escalation_attempts.report_id and c.service_type = escalation_attempts.service_type
    ), '{}')
    from public.matched_services as m
    where m.report_id = escalation_attempts.report_id and m.service_type = escalation_attempts.service_type
  );
end;
$$;
comment on function private.escalation_attempts(uuid, public.service_type) is 'Definer: administrators do not read offers. Counts of offers by outcome and the steps that were taken; null for anybody else.';
revoke all on function private.escalation_attempts(uuid, public.service_type) from public, anon, authenticated, service_role;
grant execute on function private.escalation_attempts(uuid, public.service_type) to authenticated, service_role;
