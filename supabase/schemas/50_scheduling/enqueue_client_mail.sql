-- Queues the mail to the outside client of a public booking: ids and a template, never an address.
--
-- Called by the triggers of appointments and of their clients. One mail for each revision of the appointment. Whether it
-- may still go is decided when it is sent. Cal.com mails its own clients. Locks: none.

create or replace function private.enqueue_client_mail(appointment public.appointments, template text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  insert into private.outbox_jobs (kind, dedupe_key, ordering_key, appointment_id, client_template, run_at)
  select 'mail', 'mail:client:' || c.appointment_id || ':' || appointment.sequence, 'mail:client:' || c.appointment_id,
    c.appointment_id, template, private.clock()
  from public.appointment_clients as c
  where c.appointment_id = appointment.appointment_id and c.client_email is not null
    and appointment.created_via = 'public_booking'
  on conflict (dedupe_key) do nothing;
end;
$$;
comment on function private.enqueue_client_mail(public.appointments, text) is 'A job of kind mail for the client of the appointment''s present sequence, if there is one.';
revoke all on function private.enqueue_client_mail(public.appointments, text) from public, anon, authenticated, service_role;
