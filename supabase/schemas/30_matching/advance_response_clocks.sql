-- The response clock: nudge, widen, drop the radius, escalate; and another look for those who wait with no offer.
--
-- Called by run_due_timers. Each step is taken once for each required service, in order, even when a late run finds
-- several due. At most `max_clocks` in one transaction. Locks: report rows with skip locked.

create or replace function private.advance_response_clocks(max_clocks integer)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_due record;
  v_nudged integer := 0;
  v_widened integer := 0;
  v_opened integer := 0;
  v_escalated integer := 0;
  v_searched integer := 0;
begin
  for v_due in
    select r as report, c.*, pace.*
    from private.response_clocks as c
    join public.reports as r on r.report_id = c.report_id
    cross join lateral (
      select
        case c.urgency when 'high' then s.nudge_after_high else s.nudge_after_others end as nudge_after,
        case c.urgency when 'high' then s.widen_after_high else s.widen_after_others end as widen_after,
        case c.urgency when 'high' then s.open_after_high else s.open_after_others end as open_after,
        case c.urgency when 'high' then s.escalate_after_high else s.escalate_after_others end as escalate_after
      from private.matching_settings as s
    ) as pace
    where c.settled_at is null
      and r.status in ('pending', 'active')
      and (
        (c.nudged_at is null and c.started_at + pace.nudge_after <= v_now)
        or (c.widened_at is null and c.started_at + pace.widen_after <= v_now)
        or (c.opened_at is null and c.started_at + pace.open_after <= v_now)
        or (c.escalated_at is null and c.started_at + pace.escalate_after <= v_now)
        -- Somebody may have come back from leave, which no trigger sees.
        or (c.searched_at + interval '5 minutes' <= v_now and not exists (
          select 1
          from public.matched_services as m
          where m.report_id = c.report_id and m.service_type = c.service_type and m.match_status_type = 'pending'
        ))
      )
    order by c.searched_at
    limit max_clocks
    for no key update of r, c skip locked
  loop
    if v_due.nudged_at is null and v_due.started_at + v_due.nudge_after <= v_now then
      insert into public.notifications (user_id, kind, matched_services, created_at)
      select m.professional_id, 'offer_reminder', m.id, v_now
      from public.matched_services as m
      where m.report_id = v_due.report_id and m.service_type = v_due.service_type and m.match_status_type = 'pending';
      update private.response_clocks as c
      set nudged_at = v_now
      where c.report_id = v_due.report_id and c.service_type = v_due.service_type;
      v_nudged := v_nudged + 1;
    end if;
    if v_due.widened_at is null and v_due.started_at + v_due.widen_after <= v_now then
      update private.response_clocks as c
      set widened_at = v_now
      where c.report_id = v_due.report_id and c.service_type = v_due.service_type;
      perform private.make_offers(v_due.report, v_due.service_type, private.offers_wanted(v_due.urgency));
      v_widened := v_widened + 1;
    end if;
    if v_due.opened_at is null and v_due.started_at + v_due.open_after <= v_now then
      update private.response_clocks as c
      set opened_at = v_now
      where c.report_id = v_due.report_id and c.service_type = v_due.service_type;
      perform private.make_offers(v_due.report, v_due.service_type, private.offers_wanted(v_due.urgency));
      v_opened := v_opened + 1;
    end if;
    if v_due.started_at + v_due.escalate_after <= v_now and v_due.escalated_at is null then
      perform private.escalate(v_due.report, v_due.service_type, 'no_answer');
      v_escalated := v_escalated + 1;
    end if;
    -- Read anew: a step above, or somebody before the report's lock was taken, may have asked somebody.
    if exists (
      select 1
      from private.response_clocks as c
      where c.report_id = v_due.report_id and c.service_type = v_due.service_type
        and c.searched_at + interval '5 minutes' <= v_now
    ) and not exists (
      select 1
      from public.matched_services as m
      where m.report_id = v_due.report_id and m.service_type = v_due.service_type and m.match_status_type = 'pending'
    ) then
      perform private.make_offers(v_due.report, v_due.service_type, private.offers_wanted(v_due.urgency));
      v_searched := v_searched + 1;
    end if;
    perform private.update_match_status(v_due.report_id);
  end loop;
  return jsonb_build_object(
    'nudged', v_nudged, 'widened', v_widened, 'opened', v_opened, 'escalated', v_escalated, 'searched', v_searched
  );
end;
$$;
comment on function private.advance_response_clocks(integer) is 'Takes every due step of the response clock; gives back how many of each.';
revoke all on function private.advance_response_clocks(integer) from public, anon, authenticated, service_role;
