-- A visitor who books hears that the request has arrived.
--
-- Called by: insert on public.appointment_clients, which follows that of the appointment. Definer: it writes the outbox.

create or replace function private.tg_appointment_clients__mail()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.enqueue_client_mail(a, 'appointment_' || a.status)
  from public.appointments as a
  where a.appointment_id = new.appointment_id and a.status in ('requested', 'confirmed');
  return null;
end;
$$;
comment on function private.tg_appointment_clients__mail() is 'Definer: the outbox is private. Queues the first mail to the client.';
revoke all on function private.tg_appointment_clients__mail() from public, anon, authenticated, service_role;

create trigger _900_mail
after insert on public.appointment_clients
for each row execute function private.tg_appointment_clients__mail();
