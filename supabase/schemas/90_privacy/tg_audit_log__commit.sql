-- Completes a new ledger entry: fresh salts, commitments, digest; not yet sealed.
--
-- Called by: insert on private.audit_log. What a writer gives for these columns is ignored. Locks: none.

create or replace function private.tg_audit_log__commit()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  new.actor_salt := extensions.gen_random_bytes(16);
  new.subject_salt := extensions.gen_random_bytes(16);
  new.actor_commitment := private.audit_actor_commitment(new);
  new.subject_commitment := private.audit_subject_commitment(new);
  new.digest := private.audit_digest(new);
  new.seal_id := null;
  return new;
end;
$$;
comment on function private.tg_audit_log__commit() is 'Fills salts, commitments and digest.';
revoke all on function private.tg_audit_log__commit() from public, anon, authenticated, service_role;

create trigger _100_commit
before insert on private.audit_log
for each row execute function private.tg_audit_log__commit();
