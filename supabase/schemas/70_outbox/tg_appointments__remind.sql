-- A confirmed appointment queues its reminders, as jobs that are not due before their time.
--
-- Called by: insert and update on public.appointments. One for each lead of the settings that is still ahead, and for each
-- revision; those of an earlier revision end as obsolete. Definer: it writes the outbox. Locks: none.

create or replace function private.tg_appointments__remind()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  insert into private.outbox_jobs (kind, dedupe_key, appointment_id, appointment_sequence, lead_minutes, run_at)
  select 'reminder', 'reminder:' || new.appointment_id || ':' || new.sequence || ':' || lead, new.appointment_id, new.sequence, lead,
    new.appointment_date - lead * interval '1 minute'
  from private.message_settings as s, unnest(s.reminder_minutes) as lead
  where new.appointment_date - lead * interval '1 minute' > private.clock()
  on conflict (dedupe_key) do nothing;
  return null;
end;
$$;
comment on function private.tg_appointments__remind() is 'Definer: the outbox is private. Queues the reminders of a confirmed appointment.';
revoke all on function private.tg_appointments__remind() from public, anon, authenticated, service_role;

create trigger _950_remind_insert
after insert on public.appointments
for each row when (new.status = 'confirmed')
execute function private.tg_appointments__remind();

create trigger _950_remind_update
after update on public.appointments
for each row when (new.status = 'confirmed' and (old.status <> new.status or old.sequence <> new.sequence))
execute function private.tg_appointments__remind();
