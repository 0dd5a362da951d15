-- The digest of a ledger entry: over what stays for ever and over the commitments to what can be erased.
--
-- Called when an entry is written and when the ledger is verified. The moment is counted in microseconds, because the
-- text of a timestamp depends on settings of the session. Locks: none.

create or replace function private.audit_digest(entry private.audit_log)
returns bytea
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return sha256(
    convert_to(
      entry.id || '|' || entry.event || '|' || (extract(epoch from entry.occurred_at) * 1000000)::bigint || '|' || entry.facts,
      'UTF8'
    )
    || entry.actor_commitment || entry.subject_commitment
  );
end;
$$;
comment on function private.audit_digest(private.audit_log) is 'SHA-256 of id, event, occurred_at, facts and both commitments.';
revoke all on function private.audit_digest(private.audit_log) from public, anon, authenticated, service_role;
