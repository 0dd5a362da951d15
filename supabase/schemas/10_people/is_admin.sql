-- Whether the caller is an administrator.
--
-- Called by policies and by administrators' functions. Invoker: everybody may read the own profile, and no more is
-- needed. Locks: none.

create or replace function private.is_admin()
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select exists (
    select 1
    from public.profiles as p
    where p.id = (select auth.uid()) and p.user_type = 'admin'
  );
$$;
comment on function private.is_admin() is 'True when the signed-in user''s profile is of type admin.';
revoke all on function private.is_admin() from public, anon, authenticated, service_role;
grant execute on function private.is_admin() to anon, authenticated, service_role;
