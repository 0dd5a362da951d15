-- Taking or finishing a case changes a professional's load and place in the queue.
--
-- Called by: update on public.matched_services. Taking one changes two columns of lanes that are there, and at most
-- closes those of a service that is full now; finishing one may open lanes again, so they are made anew. Definer: the
-- search index is private. Locks: the services concerned.

create or replace function private.tg_matched_services__refresh_lanes()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_open_cases integer;
begin
  if new.match_status_type <> 'accepted' or old.match_status_type = 'accepted' then
    perform private.refresh_matching_lanes(array[new.service_id]);
    return null;
  end if;
  v_now := private.clock();
  insert into private.waiting_professionals (professional_id, waiting_since)
  values (new.professional_id, v_now)
  on conflict (professional_id) do update set waiting_since = excluded.waiting_since;
  -- As in refresh_matching_lanes: without it, two changes at once would each miss the other's.
  perform 1 from public.support_services as s where s.professional_id = new.professional_id order by s.id for no key update;
  v_open_cases := private.open_cases(new.service_id);
  update private.matching_lanes as l
  set waiting_since = v_now, open_cases = case when l.service_id = new.service_id then v_open_cases else l.open_cases end
  where l.professional_id = new.professional_id;
  delete from private.matching_lanes as l
  where l.service_id = new.service_id and l.max_active_cases <= v_open_cases;
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
