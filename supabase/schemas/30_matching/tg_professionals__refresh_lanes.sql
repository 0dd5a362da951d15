-- A professional who is verified, suspended, away or back enters or leaves matching in the same transaction.
--
-- Called by: update on public.professionals. Definer, because owners have no rights on the search index. The wait for a
-- case is counted from the verification. Locks: the professional's services.

create or replace function private.tg_professionals__refresh_lanes()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_service_ids uuid[] := array(select s.id from public.support_services as s where s.professional_id = new.id);
begin
  if new.verification_status = 'verified' and old.verification_status <> 'verified' then
    insert into private.waiting_professionals (professional_id, waiting_since)
    values (new.id, private.clock())
    on conflict (professional_id) do nothing;
  end if;
  perform private.refresh_matching_lanes(v_service_ids);
  if new.verification_status <> 'verified' and old.verification_status = 'verified' then
    perform private.withdraw_offers_of_services(v_service_ids);
  end if;
  if new.verification_status = 'verified' and coalesce(new.out_of_office_until <= private.clock(), true)
    and (old.verification_status <> 'verified' or old.out_of_office_until is distinct from new.out_of_office_until)
  then
    perform private.rematch_waiting(array[new.id]);
  end if;
  return null;
end;
$$;
comment on function private.tg_professionals__refresh_lanes() is 'Definer: owners may not write the search index. Keeps it true and looks at waiting reports again.';
revoke all on function private.tg_professionals__refresh_lanes() from public, anon, authenticated, service_role;

create trigger _500_refresh_lanes
after update of verification_status, out_of_office_until, gender, languages on public.professionals
for each row
when (
  old.verification_status <> new.verification_status
  or old.out_of_office_until is distinct from new.out_of_office_until
  or old.gender <> new.gender
  or old.languages <> new.languages
)
execute function private.tg_professionals__refresh_lanes();
