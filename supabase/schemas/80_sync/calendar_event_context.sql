-- What a calendar job has to bring about, as things are now.
--
-- Called by job_context. A live or held appointment stands in the calendar, a cancelled one does not. When the calendar
-- already shows this sequence, the job is obsolete; a later job for a newer one may have run first. An event that its
-- owner has deleted twice is left alone. To look again is to remove once more what is said to be removed, and nothing else.
-- Locks: none.

create or replace function private.calendar_event_context(appointment_id uuid, connection_id uuid, looks_again boolean default false)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_appointment public.appointments;
  v_connection public.calendar_connections;
  v_mapping public.calendar_events;
  v_owner public.profiles;
  v_operation text;
begin
  select a.* into v_appointment from public.appointments as a where a.appointment_id = calendar_event_context.appointment_id;
  select c.* into v_connection from public.calendar_connections as c where c.id = calendar_event_context.connection_id;
  select p.* into v_owner from public.profiles as p where p.id = v_connection.user_id;
  select e.* into v_mapping
  from public.calendar_events as e
  where e.appointment_id = v_appointment.appointment_id and e.connection_id = v_connection.id;
  v_operation := case v_appointment.status when 'cancelled' then 'delete' else 'upsert' end;
  if v_appointment.appointment_id is null or v_connection.id is null or v_connection.status <> 'active'
    or v_connection.user_id not in (v_appointment.professional_id, coalesce(v_appointment.survivor_id, v_appointment.professional_id))
    or v_mapping.sync_status = 'dismissed'
    or (
      v_mapping.synced_sequence >= v_appointment.sequence
      and v_mapping.sync_status = case v_operation when 'delete' then 'removed' else 'synced' end
      and not looks_again
    )
    or (looks_again and v_operation <> 'delete')
  then
    return null;
  end if;
  return jsonb_build_object(
    'state', 'due',
    'kind', 'calendar_event',
    'operation', v_operation,
    'connection', jsonb_build_object(
      'id', v_connection.id, 'user_id', v_connection.user_id, 'provider', v_connection.provider,
      'calendar_id', v_connection.calendar_id, 'detail_level', v_connection.detail_level,
      'locale', v_owner.locale,
      'time_zone', coalesce((select p.time_zone from public.professionals as p where p.id = v_owner.id), v_owner.time_zone),
      'credentials', (select k.ciphertext from private.calendar_credentials as k where k.connection_id = v_connection.id)
    ),
    'event', private.appointment_facts(v_appointment),
    'mapping', case when v_mapping.external_event_id is not null and v_mapping.sync_status <> 'removed' then jsonb_build_object(
      'external_event_id', v_mapping.external_event_id, 'etag', v_mapping.etag, 'synced_sequence', v_mapping.synced_sequence,
      'is_final', v_mapping.deletions > 0
    ) end
  );
end;
$$;
comment on function private.calendar_event_context(uuid, uuid, boolean) is 'jsonb {state: due, operation: upsert | delete, connection, event, mapping}, or null when nothing is to be done.';
revoke all on function private.calendar_event_context(uuid, uuid, boolean) from public, anon, authenticated, service_role;
