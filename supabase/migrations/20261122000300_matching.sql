-- The baseline of supabase/schemas/30_matching: until the first release, edit there and write this file again.
set check_function_bodies = off;

-- supabase/schemas/30_matching/tables.sql
-- Offers and what matching needs: settings, lanes (the search index), breakdowns, boosts, response clocks, escalations.
--
-- Offers are written by matching and acceptance alone; nobody updates them directly.

create table public.matched_services (
  id uuid primary key default gen_random_uuid(),
  report_id uuid not null references public.reports (report_id) on delete cascade,
  -- No cascade: a service that was offered a case cannot be deleted from under it. An account's end takes both.
  service_id uuid not null references public.support_services (id),
  professional_id uuid not null references public.professionals (id) on delete cascade,
  service_type public.service_type not null,
  incident_type public.incident_type not null,
  urgency public.urgency_level not null,
  gender public.gender_type not null,
  age_category public.age_category,
  match_score smallint not null,
  match_status_type public.match_status_type not null default 'pending',
  offered_at timestamptz not null default private.clock(),
  expires_at timestamptz not null default private.clock() + interval '24 hours',
  responded_at timestamptz,
  decline_reason text,
  professional_completed_at timestamptz,
  survivor_completed_at timestamptz,
  closed_at timestamptz,
  created_at timestamptz not null default now(),
  constraint matched_services_offered_once unique (report_id, service_id),
  constraint matched_services_score_in_steps check (match_score between 0 and 100 and match_score % 5 = 0),
  constraint matched_services_decline_reason_length check (length(decline_reason) <= 500),
  constraint matched_services_completed_is_marked check (
    match_status_type <> 'completed'
    or (professional_completed_at is not null and survivor_completed_at is not null and closed_at is not null)
  )
);
create unique index matched_services_one_holder_idx on public.matched_services (report_id, service_type)
  where match_status_type in ('accepted', 'completed');
create index matched_services_professional_id_idx on public.matched_services (professional_id, offered_at desc);
create index matched_services_service_id_idx on public.matched_services (service_id);
create index matched_services_closed_at_idx on public.matched_services (closed_at) where closed_at is not null;
create index matched_services_expiry_idx on public.matched_services (expires_at) where match_status_type = 'pending';
-- No statistics on what others may not see: with them, the planner's estimate (Prefer: count=planned) moves with hidden values.
alter table public.matched_services
  alter column service_type set statistics 0,
  alter column incident_type set statistics 0,
  alter column urgency set statistics 0,
  alter column gender set statistics 0,
  alter column age_category set statistics 0,
  alter column match_score set statistics 0,
  alter column decline_reason set statistics 0;
comment on table public.matched_services is 'One offer of a report to one service. It carries the masked facts, copied when it is made, and they are all that a professional sees before accepting.';
comment on column public.matched_services.id is 'Key; the match_id of the functions.';
comment on column public.matched_services.report_id is 'The report, as a bare key.';
comment on column public.matched_services.service_id is 'The service that was offered the case.';
comment on column public.matched_services.professional_id is 'Who offers that service.';
comment on column public.matched_services.service_type is 'The help asked for.';
comment on column public.matched_services.incident_type is 'Masked fact, copied.';
comment on column public.matched_services.urgency is 'Copied.';
comment on column public.matched_services.gender is 'Masked fact, copied.';
comment on column public.matched_services.age_category is 'Masked fact, copied; null = not said.';
comment on column public.matched_services.match_score is '0 to 100 in steps of 5, so that it tells nobody a distance.';
comment on column public.matched_services.match_status_type is 'State of the offer.';
comment on column public.matched_services.offered_at is 'When it was made.';
comment on column public.matched_services.expires_at is 'When it lapses unanswered.';
comment on column public.matched_services.responded_at is 'When it was accepted or declined.';
comment on column public.matched_services.decline_reason is 'Given by the professional; at most 500 characters.';
comment on column public.matched_services.professional_completed_at is 'The professional''s mark of completion.';
comment on column public.matched_services.survivor_completed_at is 'The survivor''s mark of completion.';
comment on column public.matched_services.closed_at is 'When both had marked it.';
comment on column public.matched_services.created_at is 'When the row was made.';

create table private.matching_settings (
  id boolean primary key default true check (id),
  weight_speciality double precision not null default 25 check (weight_speciality >= 0),
  weight_proximity double precision not null default 20 check (weight_proximity >= 0),
  weight_availability double precision not null default 15 check (weight_availability >= 0),
  weight_language double precision not null default 10 check (weight_language >= 0),
  weight_gender double precision not null default 10 check (weight_gender >= 0),
  weight_needs double precision not null default 5 check (weight_needs >= 0),
  weight_load double precision not null default 5 check (weight_load >= 0),
  weight_boost double precision not null default 10 check (weight_boost >= 0),
  generalist_speciality double precision not null default 0.5 check (generalist_speciality between 0 and 1),
  remote_proximity double precision not null default 0.4 check (remote_proximity between 0 and 1),
  proximity_half_km double precision not null default 20 check (proximity_half_km > 0),
  availability_half_high interval not null default '4 hours' check (availability_half_high > '0'),
  availability_half_medium interval not null default '24 hours' check (availability_half_medium > '0'),
  availability_half_low interval not null default '72 hours' check (availability_half_low > '0'),
  boost_per_case double precision not null default 0.6 check (boost_per_case between 0 and 1),
  boost_decay interval not null default '30 days' check (boost_decay > '0'),
  offers_low integer not null default 3 check (offers_low between 1 and 100),
  offers_medium integer not null default 5 check (offers_medium between 1 and 100),
  offers_high integer not null default 8 check (offers_high between 1 and 100),
  offer_ttl_high interval not null default '4 hours' check (offer_ttl_high > '0'),
  offer_ttl_others interval not null default '24 hours' check (offer_ttl_others > '0'),
  nudge_after_high interval not null default '10 minutes',
  nudge_after_others interval not null default '20 minutes',
  widen_after_high interval not null default '20 minutes',
  widen_after_others interval not null default '40 minutes',
  open_after_high interval not null default '6 hours',
  open_after_others interval not null default '12 hours',
  escalate_after_high interval not null default '12 hours',
  escalate_after_others interval not null default '24 hours',
  widen_factor double precision not null default 2 check (widen_factor between 1 and 2),
  candidate_pool integer not null default 48 check (candidate_pool between 16 and 1000),
  constraint matching_settings_weights_sum_to_100 check (
    abs(
      weight_speciality + weight_proximity + weight_availability + weight_language + weight_gender + weight_needs
        + weight_load + weight_boost - 100
    ) < 0.001
  )
);
comment on table private.matching_settings is 'One row: weights of the score, numbers of offers, pace of the response clock. Changed by administrators with SQL.';
comment on column private.matching_settings.id is 'Always true, so that there is one row.';
comment on column private.matching_settings.weight_speciality is 'Points for a service that lists the incident.';
comment on column private.matching_settings.weight_proximity is 'Points for being at the very place.';
comment on column private.matching_settings.weight_availability is 'Points for being free at once.';
comment on column private.matching_settings.weight_language is 'Points for speaking the preferred language, or when none is preferred.';
comment on column private.matching_settings.weight_gender is 'Points for the preferred gender, or when none is preferred.';
comment on column private.matching_settings.weight_needs is 'Points for covering all special needs.';
comment on column private.matching_settings.weight_load is 'Points for having no open case.';
comment on column private.matching_settings.weight_boost is 'Most points that lately completed cases can give.';
comment on column private.matching_settings.generalist_speciality is 'Share of the speciality points for a service that takes every incident.';
comment on column private.matching_settings.remote_proximity is 'Share of the proximity points for a remote service.';
comment on column private.matching_settings.proximity_half_km is 'Kilometres at which the proximity points have halved.';
comment on column private.matching_settings.availability_half_high is 'Wait at which the availability points have halved, urgency high.';
comment on column private.matching_settings.availability_half_medium is 'The same, urgency medium.';
comment on column private.matching_settings.availability_half_low is 'The same, urgency low.';
comment on column private.matching_settings.boost_per_case is 'Share of the boost points for one case completed just now.';
comment on column private.matching_settings.boost_decay is 'Time in which a boost falls to nothing, in a straight line.';
comment on column private.matching_settings.offers_low is 'Offers per required service, urgency low.';
comment on column private.matching_settings.offers_medium is 'Offers per required service, urgency medium.';
comment on column private.matching_settings.offers_high is 'Offers per required service, urgency high.';
comment on column private.matching_settings.offer_ttl_high is 'Life of an unanswered offer, urgency high.';
comment on column private.matching_settings.offer_ttl_others is 'Life of an unanswered offer, other urgencies.';
comment on column private.matching_settings.nudge_after_high is 'Silence until those with an offer are reminded, urgency high.';
comment on column private.matching_settings.nudge_after_others is 'The same, other urgencies.';
comment on column private.matching_settings.widen_after_high is 'Silence until the radius is widened, urgency high.';
comment on column private.matching_settings.widen_after_others is 'The same, other urgencies.';
comment on column private.matching_settings.open_after_high is 'Silence until the radius is dropped, urgency high.';
comment on column private.matching_settings.open_after_others is 'The same, other urgencies.';
comment on column private.matching_settings.escalate_after_high is 'Silence until administrators are told, urgency high.';
comment on column private.matching_settings.escalate_after_others is 'The same, other urgencies.';
comment on column private.matching_settings.widen_factor is 'By how much the radius is widened; at most 2, for which the index boxes are made.';
comment on column private.matching_settings.candidate_pool is 'How many candidates of each lane are scored.';
insert into private.matching_settings default values;

create table private.matching_lanes (
  lane text not null,
  service_id uuid not null references public.support_services (id) on delete cascade,
  professional_id uuid not null references public.professionals (id) on delete cascade,
  place extensions.cube,
  reach extensions.cube,
  coverage_radius_km double precision not null,
  coverage_chord double precision not null,
  is_remote boolean not null,
  crisis_24_7 boolean not null,
  gender public.gender_type not null,
  languages text[] not null,
  specialisations text[] not null,
  open_cases integer not null,
  max_active_cases integer not null,
  waiting_since timestamptz not null,
  out_of_office_until timestamptz,
  primary key (lane, service_id)
);
create index matching_lanes_service_id_idx on private.matching_lanes (service_id);
create index matching_lanes_professional_id_idx on private.matching_lanes (professional_id);
create index matching_lanes_waiting_idx on private.matching_lanes (lane, waiting_since);
create index matching_lanes_remote_idx on private.matching_lanes (lane, waiting_since) where is_remote;
create index matching_lanes_reach_idx on private.matching_lanes using gist (lane, place, reach);
comment on table private.matching_lanes is 'The search index of matching: each service that could be offered a case now, once for every lane it serves. It holds all that scoring needs, so that a search reads no other table. Kept by refresh_matching_lanes.';
comment on column private.matching_lanes.lane is 'service type / incident or any, with /children for child specialists: what a search looks up by equality.';
comment on column private.matching_lanes.service_id is 'The service.';
comment on column private.matching_lanes.professional_id is 'Who offers it.';
comment on column private.matching_lanes.place is 'Its place on the unit sphere; null for none.';
comment on column private.matching_lanes.reach is 'Box around all places within twice the coverage radius.';
comment on column private.matching_lanes.coverage_radius_km is 'Copied from the service.';
comment on column private.matching_lanes.coverage_chord is 'The same as a chord of the unit sphere, which a search compares without converting.';
comment on column private.matching_lanes.is_remote is 'Copied from the service.';
comment on column private.matching_lanes.crisis_24_7 is 'Copied from the service.';
comment on column private.matching_lanes.gender is 'Copied from the professional.';
comment on column private.matching_lanes.languages is 'Of the professional and the service, in lower case.';
comment on column private.matching_lanes.specialisations is 'Copied from the service.';
comment on column private.matching_lanes.open_cases is 'Accepted offers of the service that the professional has not completed.';
comment on column private.matching_lanes.max_active_cases is 'Copied from the service.';
comment on column private.matching_lanes.waiting_since is 'When the professional last took a case, or became verified: ties go to the longest wait.';
comment on column private.matching_lanes.out_of_office_until is 'Copied from the professional.';

create table public.match_breakdowns (
  match_id uuid primary key references public.matched_services (id) on delete cascade,
  score numeric(6, 3) not null,
  parts jsonb not null,
  created_at timestamptz not null default now()
);
comment on table public.match_breakdowns is 'Why an offer was made: every part of its score. Administrators only, because proximity tells a distance.';
comment on column public.match_breakdowns.match_id is 'The offer.';
comment on column public.match_breakdowns.score is 'The exact score, 0 to 100.';
comment on column public.match_breakdowns.parts is 'Points by part: speciality, proximity, availability, language, gender, needs, load, boost; and the stage of the search.';
comment on column public.match_breakdowns.created_at is 'When it was computed.';

create table private.completion_boosts (
  professional_id uuid not null references public.professionals (id) on delete cascade,
  report_id uuid not null references public.reports (report_id) on delete cascade,
  granted_at timestamptz not null,
  primary key (professional_id, report_id)
);
create index completion_boosts_report_id_idx on private.completion_boosts (report_id);
comment on table private.completion_boosts is 'A boost in matching for each case that a professional has marked complete: once per case, gone when the survivor disputes it.';
comment on column private.completion_boosts.professional_id is 'Who is boosted.';
comment on column private.completion_boosts.report_id is 'For which case.';
comment on column private.completion_boosts.granted_at is 'Since when; it decays from here.';

create table private.waiting_professionals (
  professional_id uuid primary key references public.professionals (id) on delete cascade,
  waiting_since timestamptz not null
);
comment on table private.waiting_professionals is 'When each verified professional last took a case.';
comment on column private.waiting_professionals.professional_id is 'Who waits.';
comment on column private.waiting_professionals.waiting_since is 'The last acceptance, or the verification.';

create table private.response_clocks (
  report_id uuid not null references public.reports (report_id) on delete cascade,
  service_type public.service_type not null,
  urgency public.urgency_level not null,
  started_at timestamptz not null,
  nudged_at timestamptz,
  widened_at timestamptz,
  opened_at timestamptz,
  escalated_at timestamptz,
  settled_at timestamptz,
  searched_at timestamptz not null,
  primary key (report_id, service_type)
);
create index response_clocks_running_idx on private.response_clocks (searched_at) where settled_at is null;
comment on table private.response_clocks is 'How long each required service of a report has waited for a professional, and what has been done about it.';
comment on column private.response_clocks.report_id is 'The report.';
comment on column private.response_clocks.service_type is 'The required service.';
comment on column private.response_clocks.urgency is 'Sets the pace.';
comment on column private.response_clocks.started_at is 'When matching began.';
comment on column private.response_clocks.nudged_at is 'When those with an offer were reminded.';
comment on column private.response_clocks.widened_at is 'When the radius was widened.';
comment on column private.response_clocks.opened_at is 'When the radius was dropped.';
comment on column private.response_clocks.escalated_at is 'When administrators were told.';
comment on column private.response_clocks.settled_at is 'When it stopped: accepted, withdrawn or archived.';
comment on column private.response_clocks.searched_at is 'When candidates were last looked for.';

create table private.escalations (
  report_id uuid not null references public.reports (report_id) on delete cascade,
  service_type public.service_type not null,
  reason text not null check (reason in ('no_candidate', 'no_answer', 'no_child_specialist', 'professional_left')),
  incident_type public.incident_type not null,
  urgency public.urgency_level not null,
  gender public.gender_type not null,
  age_category public.age_category,
  reported_at timestamptz not null,
  escalated_at timestamptz not null,
  resolved_at timestamptz,
  primary key (report_id, service_type, reason)
);
comment on table private.escalations is 'Cases that need an administrator: masked facts only, copied. Read through the view public.escalations.';
comment on column private.escalations.report_id is 'The report.';
comment on column private.escalations.service_type is 'The service that nobody took.';
comment on column private.escalations.reason is 'no_candidate, no_answer, no_child_specialist or professional_left.';
comment on column private.escalations.incident_type is 'Masked fact.';
comment on column private.escalations.urgency is 'Urgency of the report.';
comment on column private.escalations.gender is 'Masked fact.';
comment on column private.escalations.age_category is 'Masked fact.';
comment on column private.escalations.reported_at is 'When help was asked for.';
comment on column private.escalations.escalated_at is 'When it was escalated.';
comment on column private.escalations.resolved_at is 'When a professional accepted, or the report ended.';

-- supabase/schemas/30_matching/advance_response_clocks.sql
-- The response clock: nudge, widen, drop the radius, escalate; and another look for those who wait with no offer.
--
-- Called by run_due_timers. Each step is taken once for each required service, in order, even when a late run finds
-- several due. At most `max_clocks` in one transaction. Locks: report rows with skip locked.

create or replace function private.advance_response_clocks(max_clocks integer)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_due record;
  v_nudged integer := 0;
  v_widened integer := 0;
  v_opened integer := 0;
  v_escalated integer := 0;
  v_searched integer := 0;
begin
  for v_due in
    select r as report, c.*, pace.*
    from private.response_clocks as c
    join public.reports as r on r.report_id = c.report_id
    cross join lateral (
      select
        case c.urgency when 'high' then s.nudge_after_high else s.nudge_after_others end as nudge_after,
        case c.urgency when 'high' then s.widen_after_high else s.widen_after_others end as widen_after,
        case c.urgency when 'high' then s.open_after_high else s.open_after_others end as open_after,
        case c.urgency when 'high' then s.escalate_after_high else s.escalate_after_others end as escalate_after
      from private.matching_settings as s
    ) as pace
    where c.settled_at is null
      and r.status in ('pending', 'active')
      and (
        (c.nudged_at is null and c.started_at + pace.nudge_after <= v_now)
        or (c.widened_at is null and c.started_at + pace.widen_after <= v_now)
        or (c.opened_at is null and c.started_at + pace.open_after <= v_now)
        or (c.escalated_at is null and c.started_at + pace.escalate_after <= v_now)
        -- Somebody may have come back from leave, which no trigger sees.
        or (c.searched_at + interval '5 minutes' <= v_now and not exists (
          select 1
          from public.matched_services as m
          where m.report_id = c.report_id and m.service_type = c.service_type and m.match_status_type = 'pending'
        ))
      )
    order by c.searched_at
    limit max_clocks
    for no key update of r, c skip locked
  loop
    if v_due.nudged_at is null and v_due.started_at + v_due.nudge_after <= v_now then
      insert into public.notifications (user_id, kind, matched_services, created_at)
      select m.professional_id, 'offer_reminder', m.id, v_now
      from public.matched_services as m
      where m.report_id = v_due.report_id and m.service_type = v_due.service_type and m.match_status_type = 'pending';
      update private.response_clocks as c
      set nudged_at = v_now
      where c.report_id = v_due.report_id and c.service_type = v_due.service_type;
      v_nudged := v_nudged + 1;
    end if;
    if v_due.widened_at is null and v_due.started_at + v_due.widen_after <= v_now then
      update private.response_clocks as c
      set widened_at = v_now
      where c.report_id = v_due.report_id and c.service_type = v_due.service_type;
      perform private.make_offers(v_due.report, v_due.service_type, private.offers_wanted(v_due.urgency));
      v_widened := v_widened + 1;
    end if;
    if v_due.opened_at is null and v_due.started_at + v_due.open_after <= v_now then
      update private.response_clocks as c
      set opened_at = v_now
      where c.report_id = v_due.report_id and c.service_type = v_due.service_type;
      perform private.make_offers(v_due.report, v_due.service_type, private.offers_wanted(v_due.urgency));
      v_opened := v_opened + 1;
    end if;
    if v_due.started_at + v_due.escalate_after <= v_now and v_due.escalated_at is null then
      perform private.escalate(v_due.report, v_due.service_type, 'no_answer');
      v_escalated := v_escalated + 1;
    end if;
    -- Read anew: a step above, or somebody before the report's lock was taken, may have asked somebody.
    if exists (
      select 1
      from private.response_clocks as c
      where c.report_id = v_due.report_id and c.service_type = v_due.service_type
        and c.searched_at + interval '5 minutes' <= v_now
    ) and not exists (
      select 1
      from public.matched_services as m
      where m.report_id = v_due.report_id and m.service_type = v_due.service_type and m.match_status_type = 'pending'
    ) then
      perform private.make_offers(v_due.report, v_due.service_type, private.offers_wanted(v_due.urgency));
      v_searched := v_searched + 1;
    end if;
    perform private.update_match_status(v_due.report_id);
  end loop;
  return jsonb_build_object(
    'nudged', v_nudged, 'widened', v_widened, 'opened', v_opened, 'escalated', v_escalated, 'searched', v_searched
  );
end;
$$;
comment on function private.advance_response_clocks(integer) is 'Takes every due step of the response clock; gives back how many of each.';
revoke all on function private.advance_response_clocks(integer) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/ask_candidates.sql
-- Offers one required service of a report to the best candidates not yet asked, at a stage of the search.
--
-- Called by match_report and make_offers; the caller holds the report's lock, so that two searches never offer past each
-- other. A child's case goes to child specialists; to others only when there is none, and then it is escalated too. When
-- nobody can be asked and nobody is still thinking, it is escalated at once. Locks: none beyond the caller's.

create or replace function private.ask_candidates(
  report public.reports, service_type public.service_type, stage integer, wanted integer
)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_child boolean := coalesce(report.age_category = 'child', false);
  v_made integer;
begin
  v_made := private.write_offers(report, service_type, stage, wanted, v_child);
  -- One question after the other: asked together they would be planned at every call, for a number of offers each time.
  if v_made = 0 and v_child then
    if not exists (
      select 1
      from public.matched_services as m
      join public.support_services as s on s.id = m.service_id
      where m.report_id = report.report_id and m.service_type = ask_candidates.service_type
        and m.match_status_type = 'pending' and 'children' = any (s.specialisations)
    ) then
      perform private.escalate(report, service_type, 'no_child_specialist');
      v_made := private.write_offers(report, service_type, stage, wanted, false);
    end if;
  end if;
  if v_made = 0 then
    if not exists (
      select 1
      from public.matched_services as m
      where m.report_id = report.report_id and m.service_type = ask_candidates.service_type
        and m.match_status_type in ('pending', 'accepted', 'completed')
    ) then
      perform private.escalate(report, service_type, 'no_candidate');
    end if;
  end if;
  return v_made;
end;
$$;
comment on function private.ask_candidates(public.reports, public.service_type, integer, integer) is
  'Makes at most `wanted` new offers and gives back how many; escalates when there is nobody to ask. stage: see best_candidates.';
revoke all on function private.ask_candidates(public.reports, public.service_type, integer, integer)
  from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/best_candidates.sql
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

-- supabase/schemas/30_matching/escalate.sql
-- Puts a required service of a report in front of the administrators, once per reason.
--
-- Called by matching and the response clock, under the report's lock. The row carries the masked facts only. Locks: none
-- beyond its own row.

create or replace function private.escalate(report public.reports, service_type public.service_type, reason text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  insert into private.escalations (
    report_id, service_type, reason, incident_type, urgency, gender, age_category, reported_at, escalated_at
  )
  values (
    report.report_id, escalate.service_type, escalate.reason, report.incident_type, report.urgency, report.gender,
    report.age_category, report.created_at, private.clock()
  )
  -- What was settled once and is open again is told again.
  on conflict on constraint escalations_pkey do update
  set escalated_at = excluded.escalated_at, resolved_at = null
  where private.escalations.resolved_at is not null;
  if found then
    update private.response_clocks as c
    set escalated_at = private.clock()
    where c.report_id = report.report_id and c.service_type = escalate.service_type
      and c.escalated_at is null and escalate.reason <> 'no_child_specialist';
    perform private.notify(
      array(select p.id from public.profiles as p where p.user_type = 'admin'), 'case_escalated', report_id => report.report_id
    );
  end if;
end;
$$;
comment on function private.escalate(public.reports, public.service_type, text) is 'reason: no_candidate, no_answer, no_child_specialist or professional_left. A second call for the same does nothing while it is open.';
revoke all on function private.escalate(public.reports, public.service_type, text) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/escalation_attempts.sql
-- What was tried for an escalated case: how many offers were made and what became of them.
--
-- Called by the view public.escalations, by administrators. Definer, because no administrator reads offers; it gives
-- back counts only. Locks: none.

create or replace function private.escalation_attempts(report_id uuid, service_type public.service_type)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if not private.is_admin() then
    return null;
  end if;
  return (
    select jsonb_build_object(
      'offered', count(*),
      'pending', count(*) filter (where m.match_status_type = 'pending'),
      'declined', count(*) filter (where m.match_status_type = 'declined'),
      'expired', count(*) filter (where m.match_status_type = 'expired'),
      'withdrawn', count(*) filter (where m.match_status_type = 'withdrawn')
    ) || coalesce((
      select jsonb_build_object(
        'nudged', c.nudged_at is not null, 'widened', c.widened_at is not null, 'opened', c.opened_at is not null
      )
      from private.response_clocks as c
      where c.report_id = escalation_attempts.report_id and c.service_type = escalation_attempts.service_type
    ), '{}')
    from public.matched_services as m
    where m.report_id = escalation_attempts.report_id and m.service_type = escalation_attempts.service_type
  );
end;
$$;
comment on function private.escalation_attempts(uuid, public.service_type) is 'Definer: administrators do not read offers. Counts of offers by outcome and the steps that were taken; null for anybody else.';
revoke all on function private.escalation_attempts(uuid, public.service_type) from public, anon, authenticated, service_role;
grant execute on function private.escalation_attempts(uuid, public.service_type) to authenticated, service_role;

-- supabase/schemas/30_matching/expire_offers.sql
-- Offers that nobody answered in time lapse, and the next best candidate is asked at once.
--
-- Called by run_due_timers. At most `max_offers` in one transaction. Locks: report rows with skip locked (one that is
-- being accepted this moment is left for the next round), then the offers.

create or replace function private.expire_offers(max_offers integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_due record;
  v_expired integer := 0;
begin
  for v_due in
    select r as report, m.id as match_id, m.service_type
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.match_status_type = 'pending' and m.expires_at <= private.clock()
    order by m.expires_at
    limit max_offers
    for no key update of r skip locked
  loop
    update public.matched_services as m
    set match_status_type = 'expired'
    where m.id = v_due.match_id and m.match_status_type = 'pending';
    -- Read before the report's lock was taken, the row may have changed since.
    if found then
      v_expired := v_expired + 1;
      perform private.replace_offer(v_due.report, v_due.service_type);
    end if;
  end loop;
  return v_expired;
end;
$$;
comment on function private.expire_offers(integer) is 'Expires due offers and replaces them; gives back how many.';
revoke all on function private.expire_offers(integer) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/make_offers.sql
-- Searches again for one required service of a report, at the stage that its response clock has reached.
--
-- Called by decline, expiry, release, rematch and the response clock; the caller holds the report's lock. Locks: the
-- clock.

create or replace function private.make_offers(report public.reports, service_type public.service_type, wanted integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_stage integer;
begin
  update private.response_clocks as c
  set searched_at = private.clock()
  where c.report_id = report.report_id and c.service_type = make_offers.service_type
  returning case when c.opened_at is not null then 2 when c.widened_at is not null then 1 else 0 end into strict v_stage;

  return private.ask_candidates(report, service_type, v_stage, wanted);
end;
$$;
comment on function private.make_offers(public.reports, public.service_type, integer) is 'Makes at most `wanted` new offers and gives back how many; escalates when there is nobody to ask.';
revoke all on function private.make_offers(public.reports, public.service_type, integer) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/match_report.sql
-- Matching: starts the response clock of every required service of a report and makes the first offers.
--
-- Called by the insert of a report, request_support and rematch. Runs with the rights of its definer callers. A service
-- whose clock already runs, or that somebody has taken, is left alone. Locks: the report row.

create or replace function private.match_report(report_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_report public.reports;
  v_service public.service_type;
  v_now timestamptz := private.clock();
begin
  select r.* into v_report from public.reports as r where r.report_id = match_report.report_id for no key update;
  if v_report.status not in ('pending', 'active') or not v_report.consent_to_share then
    return;
  end if;
  foreach v_service in array v_report.required_services loop
    insert into private.response_clocks (report_id, service_type, urgency, started_at, searched_at)
    values (v_report.report_id, v_service, v_report.urgency, v_now, v_now)
    on conflict do nothing;
    if found then
      perform private.ask_candidates(v_report, v_service, 0, private.offers_wanted(v_report.urgency));
    end if;
  end loop;
  perform private.update_match_status(v_report.report_id);
end;
$$;
comment on function private.match_report(uuid) is 'First matching of a report that may be shared; safe to repeat.';
revoke all on function private.match_report(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/offers_wanted.sql
-- How many offers a required service gets at its urgency.
--
-- Called by matching and the response clock. Locks: none.

create or replace function private.offers_wanted(urgency public.urgency_level)
returns integer
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select case urgency when 'high' then s.offers_high when 'medium' then s.offers_medium else s.offers_low end
    from private.matching_settings as s
  );
end;
$$;
comment on function private.offers_wanted(public.urgency_level) is 'Offers per required service, from private.matching_settings.';
revoke all on function private.offers_wanted(public.urgency_level) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/open_cases.sql
-- How many cases of a service are open: accepted, and not yet marked complete by the professional.
--
-- Called by refresh_matching_lanes. The professional's mark alone frees the capacity. Locks: none.

create or replace function private.open_cases(service_id uuid)
returns integer
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select count(*)::integer
    from public.matched_services as m
    where m.service_id = open_cases.service_id
      and m.match_status_type = 'accepted'
      and m.professional_completed_at is null
  );
end;
$$;
comment on function private.open_cases(uuid) is 'Number of accepted offers of the service that its professional has not completed.';
revoke all on function private.open_cases(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/refresh_matching_lanes.sql
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

-- supabase/schemas/30_matching/rematch_report.sql
-- An administrator has a waiting report matched again, now.
--
-- Called by administrators; for each required service that nobody holds it asks as many new candidates as its urgency
-- wants, beside those who still think. Nobody is asked twice. Definer: it writes offers. Locks: the report.

create or replace function private.rematch_report(report_id uuid)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_admin_id uuid := private.require_admin();
  v_report public.reports;
  v_service public.service_type;
  v_made integer := 0;
begin
  select r.* into v_report from public.reports as r where r.report_id = rematch_report.report_id for no key update;
  if not found then
    perform private.raise_error('not_found');
  elsif v_report.status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_report.status not in ('pending', 'active') then
    perform private.raise_error('case_not_open', 'Only a report that may be shared and is not closed can be matched.');
  end if;
  for v_service in
    select c.service_type
    from private.response_clocks as c
    where c.report_id = v_report.report_id and c.settled_at is null
    order by c.service_type
  loop
    v_made := v_made + private.make_offers(v_report, v_service, private.offers_wanted(v_report.urgency));
  end loop;
  perform private.update_match_status(v_report.report_id);
  perform private.record_audit(
    'report_rematched', v_admin_id, v_report.user_id, jsonb_build_object('offers', v_made),
    jsonb_build_object('report_id', v_report.report_id)
  );
  return v_made;
end;
$$;
comment on function private.rematch_report(uuid) is 'Definer: offers are not writable directly. The caller must be an administrator.';
revoke all on function private.rematch_report(uuid) from public, anon, authenticated, service_role;
grant execute on function private.rematch_report(uuid) to authenticated;

create or replace function public.rematch_report(report_id uuid)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.rematch_report(report_id);
end;
$$;
comment on function public.rematch_report(uuid) is
  'Administrator: has every part of a report that nobody holds matched again. → how many offers were made. Errors: not_allowed, not_found, case_not_open, report_withdrawn.';
revoke all on function public.rematch_report(uuid) from public, anon, authenticated, service_role;
grant execute on function public.rematch_report(uuid) to anon, authenticated;

-- supabase/schemas/30_matching/rematch_waiting.sql
-- Looks again at reports that wait without an open offer, because some professionals became free.
--
-- Called when a professional is verified, back in the office, gets a service or completes a case. At most 20 reports, the
-- longest unsearched first; the rest is found by run_due_timers. Locks: report rows with skip locked, so that a
-- transaction that already holds locks never waits for one here.

create or replace function private.rematch_waiting(professional_ids uuid[])
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_waiting record;
  v_made integer := 0;
begin
  for v_waiting in
    select r as report, c.service_type
    from private.response_clocks as c
    join public.reports as r on r.report_id = c.report_id
    where c.settled_at is null
      and r.status in ('pending', 'active')
      and c.service_type in (select s.service_type from public.support_services as s where s.professional_id = any (professional_ids))
      and not exists (
        select 1
        from public.matched_services as m
        where m.report_id = c.report_id and m.service_type = c.service_type
          and m.match_status_type in ('pending', 'accepted', 'completed')
      )
    order by c.searched_at
    limit 20
    for no key update of r skip locked
  loop
    -- Read before the report's lock was taken, the offers may have changed since.
    continue when exists (
      select 1
      from public.matched_services as m
      where m.report_id = (v_waiting.report).report_id and m.service_type = v_waiting.service_type
        and m.match_status_type in ('pending', 'accepted', 'completed')
    );
    v_made := v_made + private.make_offers(v_waiting.report, v_waiting.service_type, private.offers_wanted((v_waiting.report).urgency));
    perform private.update_match_status((v_waiting.report).report_id);
  end loop;
  return v_made;
end;
$$;
comment on function private.rematch_waiting(uuid[]) is 'Makes offers for waiting reports that these professionals'' services could serve; gives back how many.';
revoke all on function private.rematch_waiting(uuid[]) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/replace_offer.sql
-- One offer has ended unaccepted: ask the next best candidate, unless somebody has the case.
--
-- Called by decline_match and expire_offers, under the report's lock. Locks: none beyond the caller's.

create or replace function private.replace_offer(report public.reports, service_type public.service_type)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if exists (
    select 1
    from private.response_clocks as c
    where c.report_id = report.report_id and c.service_type = replace_offer.service_type and c.settled_at is null
  ) then
    perform private.make_offers(report, service_type, 1);
    perform private.update_match_status(report.report_id);
  end if;
end;
$$;
comment on function private.replace_offer(public.reports, public.service_type) is 'Makes one offer in place of a declined or expired one while the response clock runs.';
revoke all on function private.replace_offer(public.reports, public.service_type) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/soonest_free.sql
-- When each of some professionals is next free for an hour, within the next seven days.
--
-- Called by best_candidates for its shortlist, all in one query. Working hours (Monday to Friday 9 to 17 in their own
-- zone when there are no rules) and open exceptions, less blocked exceptions, live appointments and busy calendars.
-- Professionals of a crisis service work at any hour. Reads only. Locks: none.

create or replace function private.soonest_free(professional_ids uuid[], at_any_hour uuid[], from_time timestamptz)
returns table (professional_id uuid, starts_at timestamptz)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_week tstzrange := tstzrange(from_time, from_time + interval '7 days');
begin
  return query
  select p.id, soonest.starts_at
  from public.professionals as p
  cross join lateral (
    select clock.today, extract(isodow from clock.today)::integer as weekday
    from (select (from_time at time zone p.time_zone)::date as today) as clock
    offset 0
  ) as local
  cross join lateral (
    select min(lower(gap.during)) as starts_at
    from unnest(
      (
        select range_agg(working.during)
        from (
          select v_week where p.id = any (at_any_hour)
          union all
          select tstzrange(opening.opens_at, opening.closes_at)
          from (
            select (day.local_date + hours.start_time) at time zone p.time_zone as opens_at,
              (day.local_date + hours.end_time) at time zone p.time_zone as closes_at
            from (
              select r.weekday, r.start_time, r.end_time
              from public.availability_rules as r
              where r.professional_id = p.id
              union all
              select office.weekday, time '09:00', time '17:00'
              from (values (1), (2), (3), (4), (5)) as office (weekday)
              where not exists (select 1 from public.availability_rules as r where r.professional_id = p.id)
            ) as hours
            -- The next such day, and the one a week later when that is today.
            cross join lateral (
              select local.today + ahead.days as local_date
              from (values (0), (7)) as later (days)
              cross join lateral (select (hours.weekday - local.weekday + 7) % 7 + later.days as days) as ahead
              where ahead.days <= 7
            ) as day
            where p.id <> all (at_any_hour)
            -- Converting to UTC is the costliest step here; without this it is done again for each use.
            offset 0
          ) as opening
          where opening.opens_at < opening.closes_at
          union all
          select e.during
          from public.availability_exceptions as e
          where e.professional_id = p.id and e.kind = 'open' and e.during && v_week
        ) as working (during)
      ) * tstzmultirange(v_week)
      - coalesce(
        (
          select range_agg(taken.during)
          from (
            select e.during
            from public.availability_exceptions as e
            where e.professional_id = p.id and e.kind = 'blocked' and e.during && v_week
            union all
            select private.appointment_during(a.appointment_date, a.duration_minutes)
            from public.appointments as a
            where a.professional_id = p.id
              and a.status in ('requested', 'confirmed')
              and private.appointment_during(a.appointment_date, a.duration_minutes) && v_week
            union all
            select b.during
            from public.calendar_busy as b
            where b.professional_id = p.id and b.during && v_week
          ) as taken (during)
        ),
        '{}'
      )
    ) as gap (during)
    where upper(gap.during) - lower(gap.during) >= interval '1 hour'
  ) as soonest
  where p.id = any (professional_ids) and soonest.starts_at is not null;
end;
$$;
comment on function private.soonest_free(uuid[], uuid[], timestamptz) is 'Start of each professional''s first free hour in the seven days from from_time; no row when there is none.';
revoke all on function private.soonest_free(uuid[], uuid[], timestamptz) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/sphere_chord.sql
-- The chord of the unit sphere that spans a distance over ground: the inverse of sphere_km.
--
-- Called by refresh_matching_lanes. Beyond half the globe everything is in reach. Locks: none.

create or replace function private.sphere_chord(kilometres double precision)
returns double precision
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
begin
  return 2 * sin(least(kilometres / (2 * 6371.0088), pi() / 2));
end;
$$;
comment on function private.sphere_chord(double precision) is 'Kilometres over ground → chord of the unit sphere, at most 2.';
revoke all on function private.sphere_chord(double precision) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/sphere_km.sql
-- Kilometres over ground for a chord of the unit sphere.
--
-- Called by best_candidates. Locks: none.

create or replace function private.sphere_km(chord double precision)
returns double precision
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
begin
  return 2 * 6371.0088 * asin(least(1, chord / 2));
end;
$$;
comment on function private.sphere_km(double precision) is 'Chord of the unit sphere (0 to 2) → kilometres along the ground, mean Earth radius.';
revoke all on function private.sphere_km(double precision) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/sphere_point.sql
-- A place as a point on the unit sphere, on which a cube index finds the nearest.
--
-- Called by refresh_matching_lanes and best_candidates. Straight (chord) distance between two such points grows with
-- the distance over ground, so ordering by it is ordering by kilometres. Locks: none.

create or replace function private.sphere_point(latitude double precision, longitude double precision)
returns extensions.cube
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
begin
  return extensions.cube(array[
    cos(radians(latitude)) * cos(radians(longitude)),
    cos(radians(latitude)) * sin(radians(longitude)),
    sin(radians(latitude))
  ]);
end;
$$;
comment on function private.sphere_point(double precision, double precision) is 'Degrees north and east → point on the unit sphere; null when either is null.';
revoke all on function private.sphere_point(double precision, double precision) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/tg_blocked_professionals__withdraw_offers.sql
-- Who is blocked loses the offers they have of the other's reports, and the next best candidate is asked.
--
-- Called by: insert on public.blocked_professionals. Definer: offers are not writable directly. Works both ways, because
-- a professional may have blocked somebody as a survivor. A case that has been accepted is ended with withdraw_report.
-- Locks: see lock_match, professionals in the order of their ids.

create or replace function private.tg_blocked_professionals__withdraw_offers()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_offer record;
  v_locked record;
begin
  for v_offer in
    select m.id, m.service_type
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.match_status_type = 'pending'
      and (m.professional_id, r.user_id) in ((new.professional_id, new.survivor_id), (new.survivor_id, new.professional_id))
    order by m.professional_id, m.id
  loop
    select * into v_locked from private.lock_match(v_offer.id);
    update public.matched_services as m
    set match_status_type = 'withdrawn', closed_at = private.clock()
    where m.id = v_offer.id and m.match_status_type = 'pending';
    if found then
      perform private.replace_offer(v_locked.report, v_offer.service_type);
    end if;
  end loop;
  return null;
end;
$$;
comment on function private.tg_blocked_professionals__withdraw_offers() is 'Definer: offers are not writable directly. Ends the open offers between the two and replaces them.';
revoke all on function private.tg_blocked_professionals__withdraw_offers() from public, anon, authenticated, service_role;

create trigger _500_withdraw_offers
after insert on public.blocked_professionals
for each row execute function private.tg_blocked_professionals__withdraw_offers();

-- supabase/schemas/30_matching/tg_matched_services__notify_insert.sql
-- New offers are announced: a notification and a live event for each professional who is asked.
--
-- Called by: insert on public.matched_services, once per statement. Definer: notifications and realtime messages are
-- written for somebody else. Payloads hold ids and states only.

create or replace function private.tg_matched_services__notify_insert()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
begin
  perform private.broadcast(o.professional_id, 'match', 'INSERT', 'matched_services', o.id, o.match_status_type::text)
  from offered as o;
  insert into public.notifications (user_id, kind, matched_services, created_at)
  select o.professional_id, 'offer_made', o.id, v_now
  from offered as o
  where o.match_status_type = 'pending';
  return null;
end;
$$;
comment on function private.tg_matched_services__notify_insert() is 'Definer: writes notifications and live events for the professionals who are offered the case.';
revoke all on function private.tg_matched_services__notify_insert() from public, anon, authenticated, service_role;

create trigger _900_notify_insert
after insert on public.matched_services
referencing new table as offered
for each statement execute function private.tg_matched_services__notify_insert();

-- supabase/schemas/30_matching/tg_matched_services__notify_update.sql
-- Both sides' apps hear of each change of an offer.
--
-- Called by: update on public.matched_services. Definer: realtime messages are written for somebody else. Payloads hold
-- ids and states only.

create or replace function private.tg_matched_services__notify_update()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.broadcast(new.professional_id, 'match', 'UPDATE', 'matched_services', new.id, new.match_status_type::text);
  -- A survivor sees accepted and completed offers only, and hears of no other.
  if new.match_status_type in ('accepted', 'completed') or old.match_status_type = 'accepted' then
    perform private.broadcast(r.user_id, 'match', 'UPDATE', 'matched_services', new.id, new.match_status_type::text)
    from public.reports as r
    where r.report_id = new.report_id;
  end if;
  return null;
end;
$$;
comment on function private.tg_matched_services__notify_update() is 'Definer: writes live events for both sides of an offer that changes.';
revoke all on function private.tg_matched_services__notify_update() from public, anon, authenticated, service_role;

create trigger _900_notify_update
after update on public.matched_services
for each row
when (
  old.match_status_type <> new.match_status_type
  or old.professional_completed_at is distinct from new.professional_completed_at
  or old.survivor_completed_at is distinct from new.survivor_completed_at
)
execute function private.tg_matched_services__notify_update();

-- supabase/schemas/30_matching/tg_matched_services__refresh_lanes.sql
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

-- supabase/schemas/30_matching/tg_professionals__refresh_lanes.sql
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

-- supabase/schemas/30_matching/tg_reports__match.sql
-- A report that may be shared is matched in the transaction that files it.
--
-- Called by: insert on public.reports. Definer, because a survivor has no rights on services, offers and settings.
-- Locks: the report row, which is new.

create or replace function private.tg_reports__match()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.match_report(new.report_id);
  return null;
end;
$$;
comment on function private.tg_reports__match() is 'Definer: survivors may not read services or write offers. Matches the new report.';
revoke all on function private.tg_reports__match() from public, anon, authenticated, service_role;

create trigger _500_match
after insert on public.reports
for each row
when (new.status = 'pending')
execute function private.tg_reports__match();

-- supabase/schemas/30_matching/tg_support_services__refresh_lanes.sql
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

-- supabase/schemas/30_matching/update_match_status.sql
-- Brings a report's match_status in line with its offers and escalations.
--
-- Called after every change of a report's offers, under the report's lock. accepted, before an escalation for silence,
-- before matched, before an escalation for want of candidates. Locks: the report row.

create or replace function private.update_match_status(report_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.reports as r
  set match_status = now_true.match_status
  from (
    select case
      when offers.is_held then 'accepted'::public.match_status
      when needs.answers then 'escalated'
      when offers.is_open then 'matched'
      when needs.anybody then 'escalated'
      else 'pending'
    end as match_status
    from (
      select bool_or(m.match_status_type in ('accepted', 'completed')) as is_held, bool_or(m.match_status_type = 'pending') as is_open
      from public.matched_services as m
      where m.report_id = update_match_status.report_id
    ) as offers
    cross join (
      select bool_or(e.reason = 'no_answer') as answers, count(*) > 0 as anybody
      from private.escalations as e
      where e.report_id = update_match_status.report_id and e.resolved_at is null
    ) as needs
  ) as now_true
  where r.report_id = update_match_status.report_id and r.match_status <> now_true.match_status;
end;
$$;
comment on function private.update_match_status(uuid) is 'Recomputes reports.match_status.';
revoke all on function private.update_match_status(uuid) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/withdraw_offers_of_services.sql
-- A service may not be used any more: the open offers made to it end, and the next best candidates are asked.
--
-- Called by the triggers on professionals and services, when one is no longer verified; its lanes are gone by then. A
-- report that somebody is changing at this moment is passed by: the caller holds a service row, for which an acceptance
-- of that report may be waiting. Such an offer cannot be accepted, and it expires. Locks: reports with skip locked, then
-- the offers.

create or replace function private.withdraw_offers_of_services(service_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_offer record;
begin
  for v_offer in
    select r as report, m.id as match_id, m.service_type
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.service_id = any (service_ids) and m.match_status_type = 'pending'
    order by r.report_id
    for no key update of r skip locked
  loop
    update public.matched_services as m
    set match_status_type = 'withdrawn', closed_at = private.clock()
    where m.id = v_offer.match_id and m.match_status_type = 'pending';
    if found then
      perform private.replace_offer(v_offer.report, v_offer.service_type);
    end if;
  end loop;
end;
$$;
comment on function private.withdraw_offers_of_services(uuid[]) is 'Ends and replaces the pending offers of services that are no longer verified.';
revoke all on function private.withdraw_offers_of_services(uuid[]) from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/write_offers.sql
-- Writes the offers for the best candidates: masked facts, rounded score, breakdown.
--
-- Called by ask_candidates only. The masked facts are copied here; nothing else of the report is. Locks: none beyond the
-- caller's.

create or replace function private.write_offers(
  report public.reports, service_type public.service_type, stage integer, wanted integer, children_only boolean
)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_made integer;
begin
  with best as materialized (
    select gen_random_uuid() as match_id, b.*
    from private.best_candidates(report, write_offers.service_type, stage, wanted, children_only) as b
  ),
  offered as (
    insert into public.matched_services (
      id, report_id, service_id, professional_id, service_type, incident_type, urgency, gender, age_category, match_score,
      offered_at, expires_at
    )
    select b.match_id, report.report_id, b.service_id, b.professional_id, write_offers.service_type,
      report.incident_type, report.urgency, report.gender, report.age_category, (round(b.score / 5) * 5)::smallint,
      v_now, v_now + case report.urgency when 'high' then s.offer_ttl_high else s.offer_ttl_others end
    from best as b
    cross join private.matching_settings as s
  )
  insert into public.match_breakdowns (match_id, score, parts)
  select b.match_id, b.score, b.parts from best as b;
  get diagnostics v_made = row_count;
  return v_made;
end;
$$;
comment on function private.write_offers(public.reports, public.service_type, integer, integer, boolean) is 'Inserts offers and their breakdowns; gives back how many.';
revoke all on function private.write_offers(public.reports, public.service_type, integer, integer, boolean)
  from public, anon, authenticated, service_role;

-- supabase/schemas/30_matching/escalations.sql
-- Reports that nobody took in time, for administrators: masked facts, age, what was tried.
--
-- Read by: administrators, through the policy of private.escalations. Locks: none.

create or replace view public.escalations
with (security_invoker = true)
as
select e.report_id, e.service_type, e.reason, e.incident_type, e.urgency, e.gender, e.age_category, e.reported_at,
  e.escalated_at,
  floor(extract(epoch from private.clock() - e.reported_at) / 60)::integer as age_minutes,
  private.escalation_attempts(e.report_id, e.service_type) as attempts
from private.escalations as e
where e.resolved_at is null;
comment on view public.escalations is 'Open escalations, administrators only: masked facts, how long the report has waited, what was tried.';
comment on column public.escalations.report_id is 'The report.';
comment on column public.escalations.service_type is 'The service that nobody took.';
comment on column public.escalations.reason is 'no_candidate, no_answer, no_child_specialist, or professional_left: who held it cannot go on.';
comment on column public.escalations.incident_type is 'Masked fact.';
comment on column public.escalations.urgency is 'Urgency of the report.';
comment on column public.escalations.gender is 'Masked fact.';
comment on column public.escalations.age_category is 'Masked fact.';
comment on column public.escalations.reported_at is 'When help was asked for.';
comment on column public.escalations.escalated_at is 'When it was escalated.';
comment on column public.escalations.age_minutes is 'Minutes since the report.';
comment on column public.escalations.attempts is 'Numbers of offers: offered, pending, declined, expired, withdrawn; and which steps of the response clock were taken: nudged, widened, opened.';
