-- Taking or finishing a case changes a professional's load and place in the queue.
--
-- Called by: update on public.matched_services. Definer: the search index is private. Locks: the services concerned.

create or replace function private.tg_matched_services__refresh_lanes()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if new.match_status_type = 'accepted' and old.match_status_type <> 'accepted' then
    insert into private.waiting_professionals (professional_id, waiting_since)
    values (new.professional_id, private.clock())
    on conflict (professional_id) do update set waiting_since = excluded.waiting_since;
    perform private.refresh_matching_lanes(
      array(select s.id from public.support_services as s where s.professional_id = new.professional_id)
    );
  else
    perform private.refresh_matching_lanes(array[new.service_id]);
  end if;
  return null;
end;
$$;
comment on function private.tg_matched_services__refresh_lanes() is 'Definer: the search index is private. Counts open cases and moves the professional to the end of the queue.';
revoke all on function private.tg_matched_services__refresh_lanes() from public, anon, authenticated, service_role;

create trigger _500_refresh_lanes
after update of match_status_type, professional_completed_at on public.matched_services
for each row
when (
  (old.match_status_type = 'accepted') <> (new.match_status_type = 'accepted')
  or old.professional_completed_at is distinct from new.professional_completed_at
)
execute function private.tg_matched_services__refresh_lanes();
