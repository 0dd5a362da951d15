-- Reminders that have come due become notifications of both people and a mail to an outside client.
--
-- Called by run_due_timers. For each lead a mark moves along the calendar, in the transaction that writes the
-- notifications: appointments up to it have been dealt with. So a reminder costs nothing until it is due and is written
-- once; an appointment moved beyond the mark has another, one made within its lead has none, nor has a cancelled one.
-- Nothing is sent with less than half of the lead left: it would be of no use, or stand beside the next. Locks: marks.

create or replace function private.send_reminders(max_appointments integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_mark record;
  v_until timestamptz;
  v_appointment public.appointments;
  v_count integer := 0;
begin
  delete from private.reminder_marks as k
  where not exists (select 1 from private.message_settings as s where k.lead_minutes = any (s.reminder_minutes));
  insert into private.reminder_marks (lead_minutes, reminded_until)
  select lead, v_now + lead * interval '1 minute'
  from private.message_settings as s, unnest(s.reminder_minutes) as lead
  on conflict (lead_minutes) do nothing;

  for v_mark in select k.* from private.reminder_marks as k order by k.lead_minutes for update loop
    -- With ties, so that the mark never stands between appointments of the same instant.
    select case when count(*) < max_appointments then v_now + v_mark.lead_minutes * interval '1 minute' else max(due.appointment_date) end
    into v_until
    from (
      select a.appointment_date
      from public.appointments as a
      where a.status = 'confirmed' and a.appointment_date > v_mark.reminded_until
        and a.appointment_date <= v_now + v_mark.lead_minutes * interval '1 minute'
      order by a.appointment_date
      fetch first max_appointments rows with ties
    ) as due;
    for v_appointment in
      select a.*
      from public.appointments as a
      where a.status = 'confirmed' and a.appointment_date > v_mark.reminded_until and a.appointment_date <= v_until
        and a.appointment_date - v_mark.lead_minutes * interval '30 seconds' >= v_now
        and a.created_at < a.appointment_date - v_mark.lead_minutes * interval '1 minute'
    loop
      v_count := v_count + 1;
      perform private.notify(
        array[v_appointment.professional_id, v_appointment.survivor_id], 'appointment_reminder',
        match_id => v_appointment.matched_services, appointment_id => v_appointment.appointment_id
      );
      if v_appointment.created_via = 'public_booking' then
        insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, client_template, run_at)
        select 'mail', concat_ws(':', 'mail:client:reminder', c.appointment_id, v_appointment.sequence, v_mark.lead_minutes),
          'mail:client:' || c.appointment_id, c.appointment_id, 'appointment_reminder', v_now
        from public.appointment_clients as c
        where c.appointment_id = v_appointment.appointment_id and c.client_email is not null
        on conflict (dedupe_key) do nothing;
      end if;
    end loop;
    update private.reminder_marks as k
    set reminded_until = greatest(k.reminded_until, v_until)
    where k.lead_minutes = v_mark.lead_minutes;
  end loop;
  return v_count;
end;
$$;
comment on function private.send_reminders(integer) is 'Writes the reminders that are due, for about so many appointments of each lead. → how many reminders.';
revoke all on function private.send_reminders(integer) from public, anon, authenticated, service_role;
