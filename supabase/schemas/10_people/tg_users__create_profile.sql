-- Sign-up: every new auth user gets a profile, and a professional a row to fill in.
--
-- Called by: insert on auth.users. Definer, because Auth's own role has no rights in `public`. User metadata is written
-- by the user, so it chooses between survivor and professional and nothing else, and never makes a sign-up fail.

create or replace function private.tg_users__create_profile()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_type text := case new.raw_user_meta_data ->> 'user_type' when 'professional' then 'professional' else 'survivor' end;
  v_display_name text := nullif(
    btrim(left(regexp_replace(new.raw_user_meta_data ->> 'display_name', '[[:cntrl:]]', ' ', 'g'), 120)), ''
  );
begin
  insert into public.profiles (id, user_type, display_name)
  values (new.id, v_user_type, v_display_name);
  if v_user_type = 'professional' then
    insert into public.professionals (id, booking_slug)
    values (new.id, 'sauti-' || new.id);
  end if;
  return null;
end;
$$;
comment on function private.tg_users__create_profile() is 'Definer: the Auth server''s role may not write public tables. Makes the profile (and professional) of a new account.';
revoke all on function private.tg_users__create_profile() from public, anon, authenticated, service_role;

create trigger _500_create_profile
after insert on auth.users
for each row execute function private.tg_users__create_profile();
