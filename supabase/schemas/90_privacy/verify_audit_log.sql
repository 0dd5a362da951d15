-- Finds every trace of tampering with the ledger: changed, added, removed or silently erased entries, broken seals.
--
-- Called by operators, as postgres; an untouched ledger gives no rows. Whoever can write as superuser could compute the
-- whole chain anew: against that, note the newest seal elsewhere and pass it as anchor. Locks: none.

create or replace function private.verify_audit_log(anchor_id bigint default null, anchor_hash bytea default null)
returns table (problem text, seal_id bigint, entry_id bigint)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return query
  with seals as materialized (
    select s, s.id, lag(s.id) over (order by s.id) as previous_id, lag(s.hash) over (order by s.id) as previous_hash
    from private.audit_seals as s
  ),
  erased as materialized (
    select part.key as part, listed.id::bigint as id
    from private.audit_log as e
    cross join lateral jsonb_each(e.facts) as part (key, ids)
    cross join lateral jsonb_array_elements_text(part.ids) as listed (id)
    where e.event = 'payloads_erased' and part.key in ('actors', 'subjects')
  )
  select 'entry_changed', e.seal_id, e.id
  from private.audit_log as e
  where e.digest <> private.audit_digest(e)
    or e.actor_commitment <> private.audit_actor_commitment(e)
    or e.subject_commitment <> private.audit_subject_commitment(e)
    or (e.actor_salt is null and e.actor_id is not null)
    or (e.subject_salt is null and (e.subject_id is not null or e.detail is not null))
  union all
  select 'erased_without_record', e.seal_id, e.id
  from private.audit_log as e
  where (e.actor_salt is null and not exists (select 1 from erased as x where x.part = 'actors' and x.id = e.id))
    or (e.subject_salt is null and not exists (select 1 from erased as x where x.part = 'subjects' and x.id = e.id))
  union all
  select 'seal_broken', s.id, null
  from seals as s
  where (s.s).hash <> private.audit_seal_hash(s.s)
    or (s.s).entries <> (select count(*) from private.audit_log as e where e.seal_id = s.id)
  union all
  select 'seal_missing', s.id, null
  from seals as s
  where s.id <> coalesce(s.previous_id, 0) + 1
    or (s.s).previous_hash <> coalesce(s.previous_hash, decode(repeat('00', 32), 'hex'))
  union all
  select 'anchor_missing', anchor_id, null
  where anchor_id is not null
    and not exists (select 1 from private.audit_seals as s where s.id = anchor_id and s.hash = anchor_hash);
end;
$$;
comment on function private.verify_audit_log(bigint, bytea) is 'One row for each problem: entry_changed, erased_without_record, seal_broken, seal_missing, anchor_missing.';
revoke all on function private.verify_audit_log(bigint, bytea) from public, anon, authenticated, service_role;
