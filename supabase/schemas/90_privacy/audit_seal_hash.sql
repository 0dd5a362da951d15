-- The hash of a seal: over the seal before it and the digests of its entries.
--
-- Called when a seal is made and when the ledger is verified. Locks: none.

create or replace function private.audit_seal_hash(seal private.audit_seals)
returns bytea
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select sha256(
      seal.previous_hash
      || convert_to(
        seal.id || '|' || seal.entries || '|' || (extract(epoch from seal.sealed_at) * 1000000)::bigint, 'UTF8'
      )
      || coalesce(string_agg(e.digest, ''::bytea order by e.id), ''::bytea)
    )
    from private.audit_log as e
    where e.seal_id = seal.id
  );
end;
$$;
comment on function private.audit_seal_hash(private.audit_seals) is 'SHA-256 of previous_hash, id, entries, sealed_at and the digests of the entries that it covers.';
revoke all on function private.audit_seal_hash(private.audit_seals) from public, anon, authenticated, service_role;
