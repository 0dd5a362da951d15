-- An account goes, by whatever hand: cases are ended or handed over first, and everything that would outlive it is erased.
--
-- Called by: delete on public.profiles, also when Auth deletes the user. What hangs on the profile goes with it by foreign
-- keys; here is the rest. Definer: it acts on the cases of others. Locks: professionals in the order of their ids, then
-- reports.

create or replace function private.tg_profiles__erase_traces()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_offer record;
  v_locked record;
  v_report public.reports;
  v_reports integer := 0;
  v_cases uuid[];
  v_key uuid := gen_random_uuid();
begin
  perform private.lock_parties_of(old.id);

  -- As a professional: nobody is offered to them any more, open offers are replaced, accepted cases go to others.
  delete from private.matching_lanes as l where l.professional_id = old.id;
  for v_offer in
    select m.id, m.service_type
    from public.matched_services as m
    join public.reports as r on r.report_id = m.report_id
    where m.professional_id = old.id and m.match_status_type = 'pending'
    order by r.user_id, r.report_id, m.id
  loop
    select * into v_locked from private.lock_match(v_offer.id);
    update public.matched_services as m
    set match_status_type = 'withdrawn', closed_at = v_now
    where m.id = v_offer.id and m.match_status_type = 'pending';
    if found then
      perform private.replace_offer(v_locked.report, v_offer.service_type);
    end if;
  end loop;
  perform private.release_cases(old.id);

  -- As a survivor: reports end, future sessions are cancelled.
  for v_report in
    select r.* from public.reports as r where r.user_id = old.id order by r.report_id for no key update
  loop
    v_reports := v_reports + 1;
    if v_report.status <> 'withdrawn' then
      perform private.end_report(v_report);
    end if;
  end loop;
  update public.appointments as a
  set status = 'cancelled', cancelled_by = old.id
  where a.survivor_id = old.id and a.status in ('requested', 'confirmed') and a.appointment_date > v_now;
  -- The other side must still hear that the session is cancelled when the offer it belonged to is gone.
  v_cases := array(
    select m.id
    from public.reports as r
    join public.matched_services as m on m.report_id = r.report_id
    where r.user_id = old.id
  );
  update public.notifications as n
  set matched_services = null
  where n.matched_services = any (v_cases) and n.user_id <> old.id and n.kind = 'appointment_cancelled';

  -- What others keep says nothing about the person any more.
  delete from public.appointment_clients as c
  using public.appointments as a
  where a.survivor_id = old.id and c.appointment_id = a.appointment_id;
  update public.appointments as a
  set meeting_url = null, location = null, cancel_reason = null, appointment_type = 'session'
  where a.survivor_id = old.id;
  perform private.bury_calendar_entries(old.id);
  perform private.rewrite_calendar_entries(old.id);
  -- While the appointments still stand: what is in the person's calendars is told to the worker when a connection goes.
  delete from public.calendar_connections as c where c.user_id = old.id;
  -- The worker finds a CalDAV calendar by its credentials. A host of its own: no dead one holds up another's cleaning.
  update private.calendar_retirements as t
  set account_label = 'erased',
    calendar_id = case t.provider when 'caldav' then 'erased://' || v_key else t.calendar_id end
  where t.user_id = old.id;
  -- Calendars of one account still wait for each other: giving the access of one back closes them all.
  update private.outbox_jobs as j
  set ordering_key = 'disconnect:erased:' || v_key || substr(j.ordering_key, length('disconnect:' || old.id) + 1)
  where j.kind = 'calendar_disconnect' and starts_with(j.ordering_key, 'disconnect:' || old.id || ':');
  update realtime.messages as m
  set topic = 'erased', payload = '{}'
  where m.topic = 'user:' || old.id;
  delete from auth.audit_log_entries as e
  where e.payload ->> 'actor_id' = old.id::text or e.payload #>> '{traits,user_id}' = old.id::text;
  perform private.record_audit(
    'account_erased', null, null, jsonb_build_object('user_type', old.user_type, 'reports', v_reports)
  );
  perform private.erase_audit_payloads(old.id);

  -- Offers of a service keep it from going, and foreign keys are followed in no order that suits a row which hangs on two
  -- that go. Everything else follows the profile by itself.
  delete from public.matched_services as m
  where m.professional_id = old.id or m.id = any (v_cases);
  update public.appointments as a set survivor_id = null where a.survivor_id = old.id;
  update public.appointments as a set cancelled_by = null where a.cancelled_by = old.id;
  return old;
end;
$$;
comment on function private.tg_profiles__erase_traces() is 'Definer: acts on the cases of others, the ledger and the outbox. Ends or hands over cases and erases what would stay.';
revoke all on function private.tg_profiles__erase_traces() from public, anon, authenticated, service_role;

create trigger _100_erase_traces
before delete on public.profiles
for each row execute function private.tg_profiles__erase_traces();
