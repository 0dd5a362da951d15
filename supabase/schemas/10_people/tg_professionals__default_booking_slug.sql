-- A professional's booking address is sauti-<id> until they choose one.
--
-- Called by: insert and update on public.professionals. Locks: none.

create or replace function private.tg_professionals__default_booking_slug()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  new.booking_slug := coalesce(new.booking_slug, 'sauti-' || new.id);
  return new;
end;
$$;
comment on function private.tg_professionals__default_booking_slug() is 'Fills booking_slug with sauti-<id> when it is null.';
revoke all on function private.tg_professionals__default_booking_slug() from public, anon, authenticated, service_role;

create trigger _100_default_booking_slug
before insert or update of booking_slug on public.professionals
for each row execute function private.tg_professionals__default_booking_slug();
