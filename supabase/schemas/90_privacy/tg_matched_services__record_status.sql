-- Each change of an offer's status goes into the ledger.
--
-- Called by: update on public.matched_services. Definer: nobody writes the ledger. Locks: none.

create or replace function private.tg_matched_services__record_status()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_audit(
    'offer_status', auth.uid(), r.user_id, jsonb_build_object('from', old.match_status_type, 'to', new.match_status_type),
    jsonb_build_object('match_id', new.id, 'report_id', new.report_id)
  )
  from public.reports as r
  where r.report_id = new.report_id;
  return null;
end;
$$;
comment on function private.tg_matched_services__record_status() is 'Definer: nobody writes the ledger. Records offer_status with its old and new state.';
revoke all on function private.tg_matched_services__record_status() from public, anon, authenticated, service_role;

create trigger _800_record_status
after update of match_status_type on public.matched_services
for each row
when (old.match_status_type <> new.match_status_type)
execute function private.tg_matched_services__record_status();
