-- Who is calling, if it is an administrator: the id, or a refusal.
--
-- Called first by every function for administrators. Everybody else gets the same answer, whatever they asked about.
-- Locks: none.

create or replace function private.require_admin()
returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
begin
  if not private.is_admin() then
    perform private.raise_error('not_allowed', 'Only administrators may call this.');
  end if;
  return v_user_id;
end;
$$;
comment on function private.require_admin() is 'The signed-in administrator''s id; raises not_authenticated (401) or not_allowed (403).';
revoke all on function private.require_admin() from public, anon, authenticated, service_role;
