-- The ledger is append-only for every role: an entry can be sealed once, and what it says about people be erased.
--
-- Called by: update, delete and truncate on private.audit_log. An erasure that was not written down itself is found by
-- verify_audit_log. Locks: none.

create or replace function private.tg_audit_log__guard()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE'
    and (new.id, new.event, new.occurred_at, new.facts, new.actor_commitment, new.subject_commitment, new.digest)
      = (old.id, old.event, old.occurred_at, old.facts, old.actor_commitment, old.subject_commitment, old.digest)
    and (old.seal_id is null or new.seal_id = old.seal_id)
    and (
      (new.actor_id, new.actor_salt) is not distinct from (old.actor_id, old.actor_salt)
      or (new.actor_id is null and new.actor_salt is null)
    )
    and (
      (new.subject_id, new.detail, new.subject_salt) is not distinct from (old.subject_id, old.detail, old.subject_salt)
      or (new.subject_id is null and new.detail is null and new.subject_salt is null)
    )
  then
    return new;
  end if;
  perform private.raise_error('not_allowed', 'The ledger is append-only.', 'Append another entry.');
  return null;
end;
$$;
comment on function private.tg_audit_log__guard() is 'Raises not_allowed for every change but sealing and erasing.';
revoke all on function private.tg_audit_log__guard() from public, anon, authenticated, service_role;

create trigger _100_guard
before update or delete on private.audit_log
for each row execute function private.tg_audit_log__guard();

create trigger _100_guard_all
before truncate on private.audit_log
for each statement execute function private.tg_audit_log__guard();
