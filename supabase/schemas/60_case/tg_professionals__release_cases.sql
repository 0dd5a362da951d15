-- A professional who is no longer verified loses their cases to others, in the same transaction.
--
-- Called by: update on public.professionals. Definer: offers and appointments are not writable directly. Locks: see
-- release_cases.

create or replace function private.tg_professionals__release_cases()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.release_cases(new.id);
  return null;
end;
$$;
comment on function private.tg_professionals__release_cases() is 'Definer: offers are not writable directly. Hands the accepted cases over.';
revoke all on function private.tg_professionals__release_cases() from public, anon, authenticated, service_role;

create trigger _600_release_cases
after update of verification_status on public.professionals
for each row
when (old.verification_status = 'verified' and new.verification_status <> 'verified')
execute function private.tg_professionals__release_cases();
