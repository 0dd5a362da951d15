-- A reminder that is due becomes notifications of both people and a mail to an outside client, in the transaction that
-- settles its job: exactly once.
--
-- Called by job_context. Nothing is sent when the appointment was moved or cancelled, nor when less than half of the lead
-- is left: it would come too late to be of use, or beside the next one. Locks: the job, held by the caller.

create or replace function private.send_reminder(job private.outbox_jobs)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_appointment public.appointments;
begin
  select a.* into v_appointment
  from public.appointments as a
  where a.appointment_id = job.appointment_id and a.status = 'confirmed' and a.sequence = job.appointment_sequence
    and a.appointment_date - job.lead_minutes * interval '30 seconds' >= private.clock();
  if not found then
    return null;
  end if;
  perform private.notify(
    array[v_appointment.professional_id, v_appointment.survivor_id], 'appointment_reminder',
    match_id => v_appointment.matched_services, appointment_id => v_appointment.appointment_id
  );
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, client_template, run_at)
  select 'mail', 'mail:client:' || job.dedupe_key, 'mail:client:' || c.appointment_id, c.appointment_id, 'appointment_reminder',
    private.clock()
  from public.appointment_clients as c
  where c.appointment_id = v_appointment.appointment_id and c.client_email is not null
    and v_appointment.created_via = 'public_booking'
  on conflict (dedupe_key) do nothing;
  update private.outbox_jobs as j
  set state = 'done', result = '{"outcome": "reminded"}', last_error = null, finished_at = private.clock(), leased_until = null
  where j.id = job.id;
  return '{"state": "settled"}'::jsonb;
end;
$$;
comment on function private.send_reminder(private.outbox_jobs) is 'jsonb {state: settled}, or null when nobody needs the reminder any more.';
revoke all on function private.send_reminder(private.outbox_jobs) from public, anon, authenticated, service_role;
