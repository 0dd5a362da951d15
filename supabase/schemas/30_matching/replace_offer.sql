-- One offer has ended unaccepted: ask the next best candidate, unless somebody has the case.
--
-- Called by decline_match and expire_offers, under the report's lock. Locks: none beyond the caller's.

create or replace function private.replace_offer(report public.reports, service_type public.service_type)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if exists (
    select 1
    from private.response_clocks as c
    where c.report_id = report.report_id and c.service_type = replace_offer.service_type and c.settled_at is null
  ) then
    perform private.make_offers(report, service_type, 1);
    perform private.update_match_status(report.report_id);
  end if;
end;
$$;
comment on function private.replace_offer(public.reports, public.service_type) is 'Makes one offer in place of a declined or expired one while the response clock runs.';
revoke all on function private.replace_offer(public.reports, public.service_type) from public, anon, authenticated, service_role;
