-- What happens to an appointment reaches both people: live event, notification, calendar and mail jobs, in the same
-- transaction.
--
-- Called by: insert and update on public.appointments. Definer: it writes for both parties and into the outbox.

create or replace function private.tg_appointments__notify()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_kind text := case
    when tg_op = 'INSERT' then case new.status
      when 'confirmed' then 'appointment_confirmed'
      when 'requested' then 'appointment_requested'
    end
    when new.status = 'cancelled' and old.status <> 'cancelled' then 'appointment_cancelled'
    when new.status = 'confirmed' and old.status = 'requested' then 'appointment_confirmed'
    when new.status in ('requested', 'confirmed') and new.sequence > old.sequence then 'appointment_changed'
  end;
begin
  perform private.broadcast(party.id, 'appointment', tg_op, 'appointments', new.appointment_id, new.status::text)
  from unnest(array[new.professional_id, new.survivor_id]) as party (id)
  where party.id is not null;
  if v_kind is not null then
    perform private.notify(
      array[new.professional_id, new.survivor_id], v_kind, match_id => new.matched_services, appointment_id => new.appointment_id
    );
    perform private.enqueue_calendar_jobs(new);
    if new.created_via = 'public_booking' then
      perform private.enqueue_client_mail(new, v_kind);
    end if;
  end if;
  return null;
end;
$$;
comment on function private.tg_appointments__notify() is 'Definer: writes live events, notifications and jobs for both parties.';
revoke all on function private.tg_appointments__notify() from public, anon, authenticated, service_role;

create trigger _900_notify_insert
after insert on public.appointments
for each row execute function private.tg_appointments__notify();

create trigger _900_notify_update
after update on public.appointments
for each row
when (old.status <> new.status or old.sequence <> new.sequence)
execute function private.tg_appointments__notify();
