-- Each change of an appointment's status goes into the ledger.
--
-- Called by: update on public.appointments. Definer: nobody writes the ledger. Locks: none.

create or replace function private.tg_appointments__record_status()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.record_audit(
    'appointment_status', auth.uid(), new.survivor_id, jsonb_build_object('from', old.status, 'to', new.status),
    jsonb_build_object('appointment_id', new.appointment_id)
  );
  return null;
end;
$$;
comment on function private.tg_appointments__record_status() is 'Definer: nobody writes the ledger. Records appointment_status with its old and new state.';
revoke all on function private.tg_appointments__record_status() from public, anon, authenticated, service_role;

create trigger _800_record_status
after update of status on public.appointments
for each row
when (old.status <> new.status)
execute function private.tg_appointments__record_status();
