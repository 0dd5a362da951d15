-- Who is calling: the id of the signed-in user, or not_authenticated.
--
-- Called first by every function that acts for a user. A key without a user (anon, service) is refused. Locks: none.

create or replace function private.require_user()
returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
begin
  if v_user_id is null then
    perform private.raise_error('not_authenticated');
  end if;
  return v_user_id;
end;
$$;
comment on function private.require_user() is 'The signed-in user''s id; raises not_authenticated (401) for keys without a user.';
revoke all on function private.require_user() from public, anon, authenticated, service_role;
grant execute on function private.require_user() to anon, authenticated, service_role;
