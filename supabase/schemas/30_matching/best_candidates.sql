-- The best candidates of one required service of a report, scored, best first.
--
-- Called by write_offers, under the report's lock. Reads only; runs with the rights of its definer callers. Bounded work:
-- from each lane at most `candidate_pool` candidates are scored, the nearest ones, the remote ones and the ones that
-- have waited longest, found by index; only the best of these are asked for their free time. See docs/adr/0005.
-- One plan is kept for all calls: planning costs more than running.

create or replace function private.best_candidates(
  report public.reports, service_type public.service_type, stage integer, wanted integer, children_only boolean
)
returns table (service_id uuid, professional_id uuid, score numeric, parts jsonb)
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_settings private.matching_settings;
  v_now timestamptz := private.clock();
  v_place extensions.cube := private.sphere_point(report.latitude, report.longitude);
  v_lanes text[];
  v_excluded uuid[];
  v_half_wait double precision;
  v_half_angle double precision;
  v_decay double precision;
  v_language text := lower(report.preferred_language);
  v_gender public.gender_type := nullif(report.preferred_professional_gender, 'prefer_not_to_say');
begin
  select s.* into strict v_settings from private.matching_settings as s;
  v_decay := extract(epoch from v_settings.boost_decay);
  -- Half the angle that proximity_half_km spans, so that a distance costs its arc sine and no call for each candidate.
  v_half_angle := v_settings.proximity_half_km * asin(1) / private.sphere_km(2);
  v_half_wait := extract(epoch from case report.urgency
    when 'high' then v_settings.availability_half_high
    when 'medium' then v_settings.availability_half_medium
    else v_settings.availability_half_low
  end);
  v_lanes := array[
    service_type || '/' || report.incident_type || case when children_only then '/children' else '' end,
    service_type || '/any' || case when children_only then '/children' else '' end
  ];
  -- Nobody is offered a case twice for the same kind of help, their own report, or a survivor blocked in either direction.
  v_excluded := array(
    select report.user_id
    union
    select b.professional_id from public.blocked_professionals as b where b.survivor_id = report.user_id
    union
    select b.survivor_id from public.blocked_professionals as b where b.professional_id = report.user_id
    union
    select m.professional_id
    from public.matched_services as m
    where m.report_id = report.report_id and m.service_type = best_candidates.service_type
  );

  return query
  with lane as (
    select l.name, l.place = 2 as is_general
    from unnest(v_lanes) with ordinality as l (name, place)
  ),
  pool as (
    select l.is_general, l.service_id, l.professional_id, l.is_remote, l.crisis_24_7, l.gender, l.languages, l.specialisations,
      l.open_cases, l.max_active_cases, l.waiting_since, l.place operator(extensions.<->) v_place as chord
    from (
      -- In reach of the place, nearest first.
      (
        select lane.is_general, near.*
        from lane
        cross join lateral (
          select l.*
          from private.matching_lanes as l
          where v_place is not null and stage < 2
            and l.lane = lane.name
            and l.reach operator(extensions.@>) v_place
            and case stage
              when 0 then l.place operator(extensions.<->) v_place <= l.coverage_chord
              else private.sphere_km(l.place operator(extensions.<->) v_place) <= l.coverage_radius_km * v_settings.widen_factor
            end
            and l.professional_id <> all (v_excluded)
            and (l.out_of_office_until is null or l.out_of_office_until <= v_now)
          order by l.place operator(extensions.<->) v_place
          limit v_settings.candidate_pool
        ) as near
      )
      union all
      -- The radius has been dropped: nearest first, however far.
      (
        select lane.is_general, far.*
        from lane
        cross join lateral (
          select l.*
          from private.matching_lanes as l
          where v_place is not null and stage >= 2
            and l.lane = lane.name
            and l.place is not null
            and l.professional_id <> all (v_excluded)
            and (l.out_of_office_until is null or l.out_of_office_until <= v_now)
          order by l.place operator(extensions.<->) v_place
          limit v_settings.candidate_pool
        ) as far
      )
      union all
      -- Remote services reach every place; longest wait first.
      (
        select lane.is_general, remote.*
        from lane
        cross join lateral (
          select l.*
          from private.matching_lanes as l
          where v_place is not null
            and l.lane = lane.name
            and l.is_remote
            and l.professional_id <> all (v_excluded)
            and (l.out_of_office_until is null or l.out_of_office_until <= v_now)
          order by l.waiting_since
          limit v_settings.candidate_pool
        ) as remote
      )
      union all
      -- No place given: everybody, longest wait first.
      (
        select lane.is_general, anywhere.*
        from lane
        cross join lateral (
          select l.*
          from private.matching_lanes as l
          where v_place is null
            and l.lane = lane.name
            and l.professional_id <> all (v_excluded)
            and (l.out_of_office_until is null or l.out_of_office_until <= v_now)
          order by l.waiting_since
          limit v_settings.candidate_pool
        ) as anywhere
      )
    ) as l
  ),
  boosts as (
    select b.professional_id,
      sum(v_settings.boost_per_case * greatest(0, 1 - extract(epoch from v_now - b.granted_at)::double precision / v_decay)) as boost
    from private.completion_boosts as b
    where b.professional_id = any (array(select p.professional_id from pool as p))
    group by b.professional_id
  ),
  rated as (
    select c.service_id, c.professional_id, c.waiting_since,
      c.crisis_24_7 and report.urgency = 'high' as at_any_hour,
      v_settings.weight_speciality * case when c.is_general then v_settings.generalist_speciality else 1 end as speciality,
      v_settings.weight_proximity * case
        when v_place is null then 1
        else greatest(
          case when c.is_remote then v_settings.remote_proximity else 0 end,
          case when c.chord is null then 0 else power(0.5, asin(least(1, c.chord / 2)) / v_half_angle) end
        )
      end as proximity,
      v_settings.weight_language * (v_language is null or v_language = any (c.languages))::integer as language,
      v_settings.weight_gender * (v_gender is null or v_gender = c.gender)::integer as gender,
      v_settings.weight_needs * case
        when report.special_needs = '{}' then 1
        else (
          select count(*)::double precision from unnest(report.special_needs) as need where lower(need) = any (c.specialisations)
        )
          / cardinality(report.special_needs)
      end as needs,
      v_settings.weight_load * (1 - c.open_cases::double precision / c.max_active_cases) as load,
      v_settings.weight_boost * least(1, coalesce(b.boost, 0)) as boost
    from pool as c
    left join boosts as b on b.professional_id = c.professional_id
    -- Or each part would be computed again in every expression that adds the parts up.
    offset 0
  ),
  -- One offer for each professional: the better of two services of theirs.
  one_each as (
    select distinct on (r.professional_id) r.*,
      r.speciality + r.proximity + r.language + r.gender + r.needs + r.load + r.boost as subtotal
    from rated as r
    order by r.professional_id,
      r.speciality + r.proximity + r.language + r.gender + r.needs + r.load + r.boost desc, r.service_id
  ),
  shortlist as (
    select o.*
    from one_each as o
    order by o.subtotal desc, o.waiting_since, o.service_id
    limit greatest(wanted * 3, 12)
  ),
  timed as (
    select c.*,
      v_settings.weight_availability * case
        when free.starts_at is null then 0
        else power(0.5, greatest(0, extract(epoch from free.starts_at - v_now)::double precision) / v_half_wait)
      end as availability
    from shortlist as c
    left join private.soonest_free(
      array(select s.professional_id from shortlist as s), array(select s.professional_id from shortlist as s where s.at_any_hour), v_now
    ) as free on free.professional_id = c.professional_id
  )
  select t.service_id, t.professional_id, t.score,
    jsonb_build_object(
      'speciality', round(t.speciality::numeric, 3), 'proximity', round(t.proximity::numeric, 3),
      'availability', round(t.availability::numeric, 3), 'language', round(t.language::numeric, 3),
      'gender', round(t.gender::numeric, 3), 'needs', round(t.needs::numeric, 3), 'load', round(t.load::numeric, 3),
      'boost', round(t.boost::numeric, 3), 'stage', stage
    )
  from (
    select c.*, round((c.subtotal + c.availability)::numeric, 3) as score
    from timed as c
    order by score desc, c.waiting_since, c.service_id
    limit wanted
  ) as t
  order by t.score desc, t.waiting_since, t.service_id;
end;
$$;
comment on function private.best_candidates(public.reports, public.service_type, integer, integer, boolean) is
  'Scored candidates for one required service. stage 0 = within the radius, 1 = radius widened, 2 = radius dropped; score 0 to 100 with its parts.';
revoke all on function private.best_candidates(public.reports, public.service_type, integer, integer, boolean)
  from public, anon, authenticated, service_role;
