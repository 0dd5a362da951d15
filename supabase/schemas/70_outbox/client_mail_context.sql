-- What a mail to the outside client of an appointment needs, or why there is none to send.
--
-- Called by job_context, so just before the mail goes: what no longer holds is not told. It goes to the address that the
-- client gave for this appointment, in their language, and names nobody. Locks: none.

create or replace function private.client_mail_context(job private.outbox_jobs)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_appointment public.appointments;
  v_client public.appointment_clients;
begin
  select a.* into v_appointment from public.appointments as a where a.appointment_id = job.appointment_id;
  select c.* into v_client from public.appointment_clients as c where c.appointment_id = job.appointment_id;
  if v_client.client_email is null or not (case job.client_template
    when 'appointment_requested' then v_appointment.status = 'requested'
    when 'appointment_confirmed' then v_appointment.status = 'confirmed'
    when 'appointment_reminder' then v_appointment.status = 'confirmed' and v_appointment.appointment_date > private.clock()
    when 'appointment_changed' then v_appointment.status in ('requested', 'confirmed')
    else v_appointment.status = 'cancelled'
  end) or exists (
    select 1
    from private.undeliverable_addresses as u
    where u.appointment_id = v_appointment.appointment_id and u.address_digest = private.address_digest(v_client.client_email)
  ) then
    return null;
  end if;
  return jsonb_build_object(
    'state', 'due',
    'kind', 'mail',
    'message', jsonb_build_object(
      -- The same for each attempt, so that a mail sent twice is known as one.
      'id', md5(job.dedupe_key)::uuid,
      'template', job.client_template,
      'to', v_client.client_email,
      'locale', v_client.locale,
      'time_zone', v_client.time_zone,
      'case_code', null
    ),
    'appointment', private.appointment_facts(v_appointment) || '{"case_code": null}'
  );
end;
$$;
comment on function private.client_mail_context(private.outbox_jobs) is 'jsonb {state: due, message, appointment}, or null when there is no mail to send.';
revoke all on function private.client_mail_context(private.outbox_jobs) from public, anon, authenticated, service_role;
