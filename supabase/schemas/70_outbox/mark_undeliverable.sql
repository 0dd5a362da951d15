-- Mail to an address goes nowhere: no more of it is sent, and whoever can correct it is told, once and in the app.
--
-- Called by record_bounce. Of a person's address the person is told, of an outside client's the professional.
-- Another address is another digest, so a corrected one is served at once. Locks: none.

create or replace function private.mark_undeliverable(user_id uuid, appointment_id uuid, address_digest text)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  insert into private.undeliverable_addresses (user_id, appointment_id, address_digest)
  values (mark_undeliverable.user_id, mark_undeliverable.appointment_id, mark_undeliverable.address_digest)
  on conflict do nothing;
  if not found then
    return false;
  end if;
  perform private.notify(
    array[coalesce(
      mark_undeliverable.user_id,
      (select a.professional_id from public.appointments as a where a.appointment_id = mark_undeliverable.appointment_id)
    )],
    'mail_undeliverable',
    appointment_id => mark_undeliverable.appointment_id
  );
  return true;
end;
$$;
comment on function private.mark_undeliverable(uuid, uuid, text) is 'The address of a person, or of an appointment''s outside client, does not work. → whether that is new.';
revoke all on function private.mark_undeliverable(uuid, uuid, text) from public, anon, authenticated, service_role;
