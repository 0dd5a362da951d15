-- Somebody leaves: the account and everything about the person is deleted; anonymous statistics stay.
--
-- Called by any user, repeatedly without harm. Definer: Auth's users are not the caller's to delete. The trigger on the
-- profile does what foreign keys do not. Locks: see lock_parties_of, taken before the user's row so that nobody who holds
-- a professional waits for us in a circle.

create or replace function private.erase_my_data()
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
begin
  perform private.lock_parties_of(v_user_id);
  delete from auth.users as u where u.id = v_user_id;
end;
$$;
comment on function private.erase_my_data() is 'Definer: accounts belong to Auth. Deletes the caller''s own.';
revoke all on function private.erase_my_data() from public, anon, authenticated, service_role;
grant execute on function private.erase_my_data() to authenticated;

create or replace function public.erase_my_data()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  perform private.erase_my_data();
end;
$$;
comment on function public.erase_my_data() is
  'Any user: deletes the account and everything held about the caller, for good. Cases of a survivor end, those of a professional go to others; calendars are emptied by the worker. Anonymous statistics stay. Errors: not_authenticated.';
revoke all on function public.erase_my_data() from public, anon, authenticated, service_role;
grant execute on function public.erase_my_data() to anon, authenticated;
