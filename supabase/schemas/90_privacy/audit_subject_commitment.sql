-- What binds a ledger entry to whom it is about and to its details, without saying them.
--
-- Called when an entry is written and when the ledger is verified. Without the salt nothing can be guessed from it.
-- Locks: none.

create or replace function private.audit_subject_commitment(entry private.audit_log)
returns bytea
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return sha256(
    entry.subject_salt
    || convert_to(coalesce(entry.subject_id::text, '') || '|' || coalesce(entry.detail::text, ''), 'UTF8')
  );
end;
$$;
comment on function private.audit_subject_commitment(private.audit_log) is 'SHA-256 of subject_salt, subject_id and detail; null when the salt has been erased.';
revoke all on function private.audit_subject_commitment(private.audit_log) from public, anon, authenticated, service_role;
