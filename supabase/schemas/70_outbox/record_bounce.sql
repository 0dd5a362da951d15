-- A mail came back: the address that it was sent to is not written to again until it is another one.
--
-- Called by `sauti-sync bounces`, which has verified that the report names a return path of ours, and by the worker whose
-- mail server knows no such address. The message is a notification, or a mail to an appointment's outside client.
-- Definer: both are private to their readers. Locks: none.

create or replace function private.record_bounce(message_id uuid, address_digest text)
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid;
  v_appointment_id uuid;
begin
  perform private.require_service_role();
  if message_id is null or address_digest is null or address_digest !~ '^[0-9a-f]{10}$' then
    perform private.raise_error('invalid_input', 'message_id or address_digest');
  end if;
  select n.user_id into v_user_id from public.notifications as n where n.id = record_bounce.message_id;
  if v_user_id is null then
    select j.appointment_id into v_appointment_id
    from private.outbox_jobs as j
    where md5(j.dedupe_key)::uuid = record_bounce.message_id and j.client_template is not null;
    if v_appointment_id is null then
      return 'unknown';
    end if;
  end if;
  return case when private.mark_undeliverable(v_user_id, v_appointment_id, address_digest) then 'recorded' else 'known' end;
end;
$$;
comment on function private.record_bounce(uuid, text) is 'Definer: notifications and jobs are not the caller''s. The caller must be the worker''s side with the service key.';
revoke all on function private.record_bounce(uuid, text) from public, anon, authenticated, service_role;
grant execute on function private.record_bounce(uuid, text) to service_role;

create or replace function public.record_bounce(message_id uuid, address_digest text)
returns text
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.record_bounce(message_id, address_digest);
$$;
comment on function public.record_bounce(uuid, text) is
  'Worker: a mail came back for good; no more is sent to that address, and its owner is told in the app. → text recorded, known, or unknown (a message that is gone). Errors: invalid_input.';
revoke all on function public.record_bounce(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.record_bounce(uuid, text) to service_role;
