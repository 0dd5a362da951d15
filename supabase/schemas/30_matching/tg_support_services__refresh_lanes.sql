-- A new or changed service enters or leaves matching in the same transaction.
--
-- Called by: insert and update on public.support_services, once per statement. Definer, because owners have no rights
-- on the search index. Locks: the services, in the order of their ids.

create or replace function private.tg_support_services__refresh_lanes()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.refresh_matching_lanes(array(select c.id from changed as c));
  perform private.rematch_waiting(array(
    select distinct c.professional_id from changed as c where c.is_active and c.verification_status = 'verified'
  ));
  return null;
end;
$$;
comment on function private.tg_support_services__refresh_lanes() is 'Definer: owners may not write the search index. Keeps it true and looks at waiting reports again.';
revoke all on function private.tg_support_services__refresh_lanes() from public, anon, authenticated, service_role;

create trigger _500_refresh_lanes_insert
after insert on public.support_services
referencing new table as changed
for each statement execute function private.tg_support_services__refresh_lanes();

create trigger _500_refresh_lanes_update
after update on public.support_services
referencing new table as changed
for each statement execute function private.tg_support_services__refresh_lanes();
