-- Appends one entry to the ledger, in the transaction of what it tells.
--
-- Called by triggers and functions, with the rights of those definers. The trigger on the table adds salts, commitments
-- and digest. Locks: none, so writers never wait for each other; seal_audit_log chains the entries later.

create or replace function private.record_audit(
  event text, actor_id uuid, subject_id uuid, facts jsonb default '{}', detail jsonb default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  insert into private.audit_log (event, occurred_at, facts, actor_id, subject_id, detail)
  values (
    record_audit.event, private.clock(), record_audit.facts, record_audit.actor_id, record_audit.subject_id,
    record_audit.detail
  );
end;
$$;
comment on function private.record_audit(text, uuid, uuid, jsonb, jsonb) is 'facts stay for ever and hold nothing about a person; actor, subject and detail (ids, reasons) can be erased.';
revoke all on function private.record_audit(text, uuid, uuid, jsonb, jsonb) from public, anon, authenticated, service_role;
