-- Acceptance: a professional takes a case by making an appointment, and in no other way.
--
-- Called by the professional who was offered it. One transaction: offer accepted, appointment confirmed, report
-- matched, rival offers superseded. When the appointment cannot be made, nothing has happened. The same call repeated
-- gives back the same appointment. Definer: nobody may write offers or appointments directly. Locks: see lock_match.

create or replace function private.accept_match(
  match_id uuid, mode text, starts_at timestamptz, duration_minutes integer, appointment_type text
)
returns public.appointments
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_now timestamptz := private.clock();
  v_locked record;
  v_match public.matched_services;
  v_appointment public.appointments;
  v_starts_at timestamptz := starts_at;
begin
  -- The survivor of a foreign offer must not be locked, and its existence not be told.
  if not exists (
    select 1 from public.matched_services as m where m.id = accept_match.match_id and m.professional_id = v_user_id
  ) then
    perform private.raise_error('not_found');
  end if;
  case mode
    when 'meet_now' then
      if v_starts_at is not null then
        perform private.raise_error(
          'invalid_input', 'starts_at: meet_now sets the time itself.', 'Leave starts_at out, or use schedule_later.'
        );
      end if;
      v_starts_at := date_trunc('second', v_now) + interval '60 minutes';
    when 'schedule_later' then
      if v_starts_at is null then
        perform private.raise_error('invalid_input', 'starts_at: schedule_later needs a time.', 'Give starts_at, or use meet_now.');
      end if;
    else
      perform private.raise_error('invalid_input', 'mode: meet_now or schedule_later.');
  end case;
  perform private.check_appointment_time(v_starts_at, duration_minutes, appointment_type);

  select * into v_locked from private.lock_match(match_id);
  v_match := v_locked.match;
  if v_match.match_status_type = 'accepted' then
    select a.* into v_appointment
    from public.appointments as a
    where a.matched_services = v_match.id
      and a.created_via = case mode when 'meet_now' then 'meet_now' else 'scheduled_acceptance' end::public.appointment_source
      and (mode = 'meet_now' or a.appointment_date = v_starts_at)
    order by a.created_at
    limit 1;
    if found then
      return v_appointment;
    end if;
  end if;
  if (v_locked.report).status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif not exists (
    select 1
    from public.professionals as p
    join public.support_services as s on s.id = v_match.service_id
    where p.id = v_user_id and p.verification_status = 'verified' and s.verification_status = 'verified'
  ) then
    perform private.raise_error('not_verified');
  elsif v_match.match_status_type = 'expired' or (v_match.match_status_type = 'pending' and v_match.expires_at <= v_now) then
    perform private.raise_error('match_expired');
  elsif v_match.match_status_type <> 'pending' or exists (
    -- A block that came while the offer was being made did not see it.
    select 1
    from public.blocked_professionals as b
    where (b.survivor_id, b.professional_id) in (((v_locked.report).user_id, v_user_id), (v_user_id, (v_locked.report).user_id))
  ) then
    perform private.raise_error('match_not_pending');
  end if;

  perform private.finish_hand_over(v_match.id);
  update public.matched_services as m
  set match_status_type = 'superseded'
  where m.report_id = v_match.report_id and m.service_type = v_match.service_type and m.id <> v_match.id
    and m.match_status_type = 'pending';
  update public.matched_services as m
  set match_status_type = 'accepted', responded_at = v_now
  where m.id = v_match.id;
  update public.reports as r
  set ismatched = true, status = 'active', match_status = 'accepted'
  where r.report_id = v_match.report_id;
  update private.response_clocks as c
  set settled_at = v_now
  where c.report_id = v_match.report_id and c.service_type = v_match.service_type;
  update private.escalations as e
  set resolved_at = v_now
  where e.report_id = v_match.report_id and e.service_type = v_match.service_type and e.resolved_at is null;

  return private.make_appointment(
    professional_id => v_user_id, survivor_id => (v_locked.report).user_id, match_id => v_match.id, starts_at => v_starts_at,
    duration_minutes => duration_minutes, appointment_type => appointment_type, status => 'confirmed',
    created_via => case mode when 'meet_now' then 'meet_now' else 'scheduled_acceptance' end::public.appointment_source
  );
end;
$$;
comment on function private.accept_match(uuid, text, timestamptz, integer, text) is 'Definer: acceptance writes offers, reports and appointments that nobody may write directly. The caller must be the professional of the offer.';
revoke all on function private.accept_match(uuid, text, timestamptz, integer, text) from public, anon, authenticated, service_role;
grant execute on function private.accept_match(uuid, text, timestamptz, integer, text) to authenticated;

create or replace function public.accept_match(
  match_id uuid, mode text, starts_at timestamptz default null, duration_minutes integer default 60,
  appointment_type text default 'consultation'
)
returns public.appointments
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.accept_match(match_id, mode, starts_at, duration_minutes, appointment_type);
end;
$$;
comment on function public.accept_match(uuid, text, timestamptz, integer, text) is
  'Professional: takes an offered case by making an appointment. mode meet_now = in 60 minutes, schedule_later = at starts_at; 30 to 120 minutes. → the appointment. Errors: not_found, invalid_input, in_the_past, invalid_duration, match_not_pending, match_expired, not_verified, slot_taken, report_withdrawn.';
revoke all on function public.accept_match(uuid, text, timestamptz, integer, text) from public, anon, authenticated, service_role;
grant execute on function public.accept_match(uuid, text, timestamptz, integer, text) to anon, authenticated;
