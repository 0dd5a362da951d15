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
  if tg_op = 'INSERT' then
    perform private.rematch_waiting(array(
      select distinct c.professional_id from changed as c where c.is_active and c.verification_status = 'verified'
    ));
  else
    perform private.withdraw_offers_of_services(array(
      select c.id
      from changed as c
      join before as b on b.id = c.id
      where b.verification_status = 'verified' and c.verification_status <> 'verified'
    ));
    -- Not for a new place or radius: whoever moves a small circle about would find out where a waiting report is.
    perform private.rematch_waiting(array(
      select distinct c.professional_id
      from changed as c
      join before as b on b.id = c.id
      where c.is_active and c.verification_status = 'verified'
        and (b.is_active, b.verification_status, b.max_active_cases, b.incident_types)
          is distinct from (c.is_active, c.verification_status, c.max_active_cases, c.incident_types)
    ));
  end if;
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
referencing old table as before new table as changed
for each statement execute function private.tg_support_services__refresh_lanes();
