-- A seal is for ever.
--
-- Called by: update, delete and truncate on private.audit_seals, for every role. Locks: none.

create or replace function private.tg_audit_seals__guard()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.raise_error('not_allowed', 'The ledger is append-only.', 'Append another entry.');
  return null;
end;
$$;
comment on function private.tg_audit_seals__guard() is 'Raises not_allowed.';
revoke all on function private.tg_audit_seals__guard() from public, anon, authenticated, service_role;

create trigger _100_guard
before update or delete on private.audit_seals
for each row execute function private.tg_audit_seals__guard();

create trigger _100_guard_all
before truncate on private.audit_seals
for each statement execute function private.tg_audit_seals__guard();
