-- What a report consents to becomes a consent record, and its end too.
--
-- Called by: insert and update on public.reports. Definer: nobody writes consents. Locks: none.

create or replace function private.tg_reports__record_consents()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_over text[] := array_remove(array[
    case when not new.consent_to_share then 'share_report' end, case when not new.consent_location then 'share_location' end,
    case when new.status = 'withdrawn' then 'hand_over' end
  ], null);
begin
  perform private.give_consent(new.user_id, new.report_id, array_remove(array[
    case when new.consent_to_share then 'share_report' end, case when new.consent_location then 'share_location' end
  ], null));
  if tg_op = 'UPDATE' then
    update public.consents as c
    set withdrawn_at = greatest(private.clock(), c.given_at)
    where c.report_id = new.report_id and c.withdrawn_at is null and c.purpose = any (v_over);
  end if;
  return null;
end;
$$;
comment on function private.tg_reports__record_consents() is 'Definer: nobody writes consents. Opens and ends consent records as the report says.';
revoke all on function private.tg_reports__record_consents() from public, anon, authenticated, service_role;

create trigger _400_record_consents_insert
after insert on public.reports
for each row
when (new.consent_to_share or new.consent_location)
execute function private.tg_reports__record_consents();

create trigger _400_record_consents_update
after update of consent_to_share, consent_location, status on public.reports
for each row
when (
  old.consent_to_share <> new.consent_to_share
  or old.consent_location <> new.consent_location
  or (new.status = 'withdrawn' and old.status <> 'withdrawn')
)
execute function private.tg_reports__record_consents();
