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
