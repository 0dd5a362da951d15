-- Who becomes an administrator, or stops being one, stands in the ledger, by whatever hand it was done.
--
-- Called by: update on public.profiles. Definer: nobody writes the ledger. Locks: none.

create or replace function private.tg_profiles__record_role()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_audit(
    'role_changed', auth.uid(), new.id, jsonb_build_object('from', old.user_type, 'to', new.user_type)
  );
  return null;
end;
$$;
comment on function private.tg_profiles__record_role() is 'Definer: nobody writes the ledger. Records role_changed with the old and the new user type.';
revoke all on function private.tg_profiles__record_role() from public, anon, authenticated, service_role;

create trigger _800_record_role
after update of user_type on public.profiles
for each row
when (old.user_type <> new.user_type)
execute function private.tg_profiles__record_role();
