-- Erases a person from the ledger: where they acted, who it was; where it was about them, whom and what.
--
-- Called by the erasure of an account. The digests stay, so the chain still verifies; the numbers of the entries go into
-- an entry of their own, so that no erasure is silent. Locks: the entries.

create or replace function private.erase_audit_payloads(person_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_actors jsonb;
  v_subjects jsonb;
begin
  with erased as (
    update private.audit_log as e set actor_id = null, actor_salt = null where e.actor_id = person_id returning e.id
  )
  select coalesce(jsonb_agg(x.id order by x.id), '[]') into v_actors from erased as x;
  with erased as (
    update private.audit_log as e
    set subject_id = null, detail = null, subject_salt = null
    where e.subject_id = person_id
    returning e.id
  )
  select coalesce(jsonb_agg(x.id order by x.id), '[]') into v_subjects from erased as x;
  perform private.record_audit('payloads_erased', null, null, jsonb_build_object('actors', v_actors, 'subjects', v_subjects));
end;
$$;
comment on function private.erase_audit_payloads(uuid) is 'Removes the id and what was said about the person, and writes down from which entries.';
revoke all on function private.erase_audit_payloads(uuid) from public, anon, authenticated, service_role;
