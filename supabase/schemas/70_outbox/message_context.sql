-- What the message for a notification needs and by which channel it goes, or why there is none to send.
--
-- Called by job_context, so just before it goes: a cancelled session reminds nobody. A professional is reached by mail
-- at the account's address. A survivor as that case's contact preference says, and only in safe hours: by mail at the
-- address of the report or of the account, by SMS at the report's number. Anything else is obsolete. Locks: none.

create or replace function private.message_context(notification_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_notification public.notifications;
  v_match public.matched_services;
  v_appointment public.appointments;
  v_report public.reports;
  v_reader public.profiles;
  v_channel text := 'mail';
  v_address text;
  v_safe_at timestamptz;
begin
  select n.* into v_notification from public.notifications as n where n.id = message_context.notification_id;
  select p.* into v_reader from public.profiles as p where p.id = v_notification.user_id;
  select u.email into v_address from auth.users as u where u.id = v_notification.user_id;
  select a.* into v_appointment from public.appointments as a where a.appointment_id = v_notification.appointment_id;
  select m.* into v_match from public.matched_services as m
  where m.id = coalesce(v_notification.matched_services, v_appointment.matched_services);
  select r.* into v_report from public.reports as r where r.report_id = coalesce(v_match.report_id, v_notification.report_id);

  if v_notification.id is null or v_notification.read_at is not null or not coalesce(case v_notification.kind
    when 'offer_made' then v_match.match_status_type = 'pending' and v_match.expires_at > private.clock()
    when 'offer_reminder' then v_match.match_status_type = 'pending' and v_match.expires_at > private.clock()
    when 'appointment_requested' then v_appointment.status = 'requested'
    when 'appointment_confirmed' then v_appointment.status = 'confirmed'
    when 'appointment_changed' then v_appointment.status in ('requested', 'confirmed')
    when 'appointment_cancelled' then v_appointment.status = 'cancelled'
    when 'appointment_reminder' then v_appointment.status = 'confirmed' and v_appointment.appointment_date > private.clock()
      -- Not moved away in the meantime.
      and v_appointment.appointment_date <= v_notification.created_at + interval '1 minute' * (
        select max(lead) from private.message_settings as s, unnest(s.reminder_minutes) as lead
      )
    when 'message_waiting' then v_match.match_status_type = 'accepted'
    when 'hand_over_requested' then exists (
      select 1 from public.hand_overs as h where h.matched_services = v_match.id and h.status = 'requested'
    )
    when 'completion_requested' then v_match.match_status_type = 'accepted'
    when 'completion_disputed' then v_match.match_status_type = 'accepted' and v_match.professional_completed_at is null
    when 'case_closed' then v_match.match_status_type = 'completed'
    when 'case_escalated' then exists (
      select 1 from private.escalations as e where e.report_id = v_report.report_id and e.resolved_at is null
    )
    when 'cal_com_conflict' then exists (
      select 1 from public.cal_com_conflicts as c where c.professional_id = v_reader.id and c.resolved_at is null
    )
    -- Of an address of the reader's own, mail tells nobody.
    when 'mail_undeliverable' then v_notification.appointment_id is not null
    when 'cal_com_needs_attention' then exists (
      select 1 from public.cal_com_connections as c where c.professional_id = v_reader.id and c.status = 'needs_attention'
    )
    else true
  end, false) then
    return null;
  end if;

  if v_reader.user_type = 'survivor' and v_report.report_id is null then
    -- Without a case there is no contact preference to go by, so the app alone tells it.
    return null;
  end if;
  if v_reader.id = v_report.user_id then
    if v_report.contact_preference = 'email' then
      v_address := coalesce(v_report.contact_email, v_address);
    elsif v_report.contact_preference = 'sms' then
      v_channel := 'sms';
      v_address := v_report.contact_phone;
    else
      return null;
    end if;
    v_safe_at := private.next_safe_time(
      private.clock(), v_reader.time_zone, v_report.safe_contact_from, v_report.safe_contact_until
    );
    if v_safe_at > private.clock() then
      return jsonb_build_object('state', 'postponed', 'until', v_safe_at);
    end if;
  end if;
  if v_address is null or v_address = '' or (v_channel = 'mail' and exists (
    select 1
    from private.undeliverable_addresses as u
    where u.user_id = v_reader.id and u.address_digest = private.address_digest(v_address)
  )) then
    return null;
  end if;

  return jsonb_build_object(
    'state', 'due',
    'kind', v_channel,
    'message', jsonb_build_object(
      'id', v_notification.id,
      'template', v_notification.kind,
      'to', v_address,
      'locale', v_reader.locale,
      'time_zone', v_reader.time_zone,
      -- Before acceptance a professional may not know the case code; an administrator never needs it.
      'case_code', case
        when v_reader.id = v_report.user_id
          or (v_reader.id = v_match.professional_id and v_match.match_status_type in ('accepted', 'completed'))
        then v_report.case_code
      end
    ),
    'appointment', private.appointment_facts(v_appointment)
  );
end;
$$;
comment on function private.message_context(uuid) is 'jsonb {state: due | postponed, kind: mail | sms, message, appointment}, or null when there is nothing to send.';
revoke all on function private.message_context(uuid) from public, anon, authenticated, service_role;
