-- What binds a ledger entry to who did it, without saying who.
--
-- Called when an entry is written and when the ledger is verified. Without the salt nothing can be guessed from it.
-- Locks: none.

create or replace function private.audit_actor_commitment(entry private.audit_log)
returns bytea
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return sha256(entry.actor_salt || convert_to(coalesce(entry.actor_id::text, ''), 'UTF8'));
end;
$$;
comment on function private.audit_actor_commitment(private.audit_log) is 'SHA-256 of actor_salt and actor_id; null when the salt has been erased.';
revoke all on function private.audit_actor_commitment(private.audit_log) from public, anon, authenticated, service_role;
