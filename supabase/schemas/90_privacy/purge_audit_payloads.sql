-- Old ledger entries forget whom they were about; the sealed digests stay, and the erasure is written down.
--
-- Called by purge_expired. Locks: the entries, skipping locked ones.

create or replace function private.purge_audit_payloads(cutoff timestamptz, max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_entries jsonb;
begin
  with erased as (
    update private.audit_log as e
    set actor_id = null, actor_salt = null, subject_id = null, detail = null, subject_salt = null
    where e.id = any (array(
      select x.id
      from private.audit_log as x
      where x.occurred_at < cutoff and (x.actor_id is not null or x.subject_id is not null or x.detail is not null)
      order by x.occurred_at
      limit max_rows
      for update skip locked
    ))
    returning e.id
  )
  select jsonb_agg(x.id order by x.id) into v_entries from erased as x;
  if v_entries is null then
    return 0;
  end if;
  perform private.record_audit('payloads_erased', null, null, jsonb_build_object('actors', v_entries, 'subjects', v_entries));
  return jsonb_array_length(v_entries);
end;
$$;
comment on function private.purge_audit_payloads(timestamptz, integer) is 'Erases actor, subject and detail of at most max_rows entries of before cutoff; gives back how many.';
revoke all on function private.purge_audit_payloads(timestamptz, integer) from public, anon, authenticated, service_role;
