-- A consent that is given or withdrawn stands in the ledger.
--
-- Called by: insert and update on public.consents. Definer: nobody writes the ledger. Locks: none.

create or replace function private.tg_consents__record_change()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_audit(
    case tg_op when 'INSERT' then 'consent_given' else 'consent_withdrawn' end, auth.uid(), new.user_id,
    jsonb_build_object('purpose', new.purpose, 'text_version', new.text_version),
    jsonb_build_object('report_id', new.report_id)
  );
  return null;
end;
$$;
comment on function private.tg_consents__record_change() is 'Definer: nobody writes the ledger. Records consent_given and consent_withdrawn.';
revoke all on function private.tg_consents__record_change() from public, anon, authenticated, service_role;

create trigger _800_record_given
after insert on public.consents
for each row execute function private.tg_consents__record_change();

create trigger _800_record_withdrawn
after update of withdrawn_at on public.consents
for each row
when (old.withdrawn_at is null and new.withdrawn_at is not null)
execute function private.tg_consents__record_change();
