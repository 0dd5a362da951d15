-- A service that is no longer verified loses its cases to others, in the same transaction.
--
-- Called by: update on public.support_services. Definer: offers and appointments are not writable directly. Locks: the
-- professional, then see release_cases.

create or replace function private.tg_support_services__release_cases()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.release_cases(new.professional_id, new.id);
  return null;
end;
$$;
comment on function private.tg_support_services__release_cases() is 'Definer: offers are not writable directly. Hands the accepted cases of the service over.';
revoke all on function private.tg_support_services__release_cases() from public, anon, authenticated, service_role;

create trigger _600_release_cases
after update of verification_status on public.support_services
for each row
when (old.verification_status = 'verified' and new.verification_status <> 'verified')
execute function private.tg_support_services__release_cases();
