-- Rebuilds the matching lanes of some services from what is true now.
--
-- Called by triggers on everything that decides whether a service can be offered a case. Runs with the rights of those
-- definer triggers. A service that is unverified, inactive or full has no lane. Being out of office passes with time,
-- so it is a column and not an absence. Locks: the service rows, in the order of their ids.

create or replace function private.refresh_matching_lanes(service_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  -- Two refreshes of one service at once would each miss the other's rows: the service row orders them.
  perform 1 from public.support_services as s where s.id = any (service_ids) order by s.id for no key update;

  delete from private.matching_lanes as l where l.service_id = any (service_ids);

  insert into private.matching_lanes
  select lanes.lane, s.id, s.professional_id, spot.place,
    extensions.cube_enlarge(spot.place, private.sphere_chord(2 * s.coverage_radius_km), 3),
    s.coverage_radius_km, private.sphere_chord(s.coverage_radius_km), s.is_remote, s.crisis_24_7, p.gender,
    lower((p.languages || s.languages)::text)::text[], s.specialisations,
    load.open_cases, s.max_active_cases, coalesce(w.waiting_since, p.created_at), p.out_of_office_until
  from public.support_services as s
  join public.professionals as p on p.id = s.professional_id
  left join private.waiting_professionals as w on w.professional_id = p.id
  cross join lateral (select private.open_cases(s.id) as open_cases) as load
  cross join lateral (select private.sphere_point(s.latitude, s.longitude) as place) as spot
  cross join lateral (
    select s.service_type || '/' || incident.name || audience.suffix as lane
    from unnest(case when s.incident_types = '{}' then array['any'] else s.incident_types::text[] end) as incident (name)
    cross join unnest(case when 'children' = any (s.specialisations) then array['', '/children'] else array[''] end)
      as audience (suffix)
    group by incident.name, audience.suffix
  ) as lanes
  where s.id = any (service_ids)
    and s.is_active
    and s.verification_status = 'verified'
    and p.verification_status = 'verified'
    and load.open_cases < s.max_active_cases;
end;
$$;
comment on function private.refresh_matching_lanes(uuid[]) is 'Makes private.matching_lanes true again for the given services.';
revoke all on function private.refresh_matching_lanes(uuid[]) from public, anon, authenticated, service_role;
