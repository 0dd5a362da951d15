-- Seals the ledger entries that are committed and not yet sealed, as one batch.
--
-- Called by run_due_timers. Entries of transactions that still run are not seen and belong to a later batch, whatever
-- their ids; so nobody who writes ever waits. One sealer at a time, by an advisory lock; rows being erased are skipped.

create or replace function private.seal_audit_log(max_entries integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_entries bigint[];
  v_seal private.audit_seals;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('sauti.seal_audit_log', 0)) then
    return 0;
  end if;
  v_entries := array(
    select e.id from private.audit_log as e where e.seal_id is null order by e.id limit max_entries for update skip locked
  );
  if cardinality(v_entries) = 0 then
    return 0;
  end if;
  select s.id + 1, s.hash into v_seal.id, v_seal.previous_hash from private.audit_seals as s order by s.id desc limit 1;
  if not found then
    v_seal.id := 1;
    v_seal.previous_hash := decode(repeat('00', 32), 'hex');
  end if;
  v_seal.entries := cardinality(v_entries);
  v_seal.sealed_at := private.clock();
  -- The hash covers exactly the entries of this list, in their order, so it can be taken before they name the seal.
  v_seal.hash := (
    select sha256(
      v_seal.previous_hash
      || convert_to(
        v_seal.id || '|' || v_seal.entries || '|' || (extract(epoch from v_seal.sealed_at) * 1000000)::bigint, 'UTF8'
      )
      || string_agg(e.digest, ''::bytea order by e.id)
    )
    from private.audit_log as e
    where e.id = any (v_entries)
  );
  insert into private.audit_seals (id, entries, previous_hash, hash, sealed_at)
  values (v_seal.id, v_seal.entries, v_seal.previous_hash, v_seal.hash, v_seal.sealed_at);
  update private.audit_log as e set seal_id = v_seal.id where e.id = any (v_entries);
  return v_seal.entries;
end;
$$;
comment on function private.seal_audit_log(integer) is 'Chains at most max_entries unsealed entries; gives back how many.';
revoke all on function private.seal_audit_log(integer) from public, anon, authenticated, service_role;
