-- Each change of verification goes into the ledger, by whatever hand.
--
-- Called by: update on public.support_services. Definer: nobody writes the ledger. Locks: none.

create or replace function private.tg_support_services__record_status()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_audit(
    'verification_status', auth.uid(), new.professional_id,
    jsonb_build_object('of', 'support_services', 'from', old.verification_status, 'to', new.verification_status),
    jsonb_build_object('service_id', new.id)
  );
  return null;
end;
$$;
comment on function private.tg_support_services__record_status() is 'Definer: nobody writes the ledger. Records verification_status with its old and new state.';
revoke all on function private.tg_support_services__record_status() from public, anon, authenticated, service_role;

create trigger _800_record_status
after update of verification_status on public.support_services
for each row
when (old.verification_status <> new.verification_status)
execute function private.tg_support_services__record_status();
