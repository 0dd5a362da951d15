-- An event that cannot be read: the professional learns it, and the sender gets 422.
--
-- Called by apply_cal_com_event. An exception would undo the note on the connection, so the status and the body of the
-- answer are set here (PostgREST takes them from `response.status`) and the transaction commits. Locks: the connection.

create or replace function private.refuse_cal_com_event(professional_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_error private.error_codes;
begin
  update public.cal_com_connections as c
  set status = 'needs_attention', last_error = 'custom_payload_template'
  where c.professional_id = refuse_cal_com_event.professional_id and c.status = 'active';
  if found then
    perform private.notify(array[refuse_cal_com_event.professional_id], 'cal_com_needs_attention');
  end if;
  select e.* into strict v_error from private.error_codes as e where e.symbol = 'invalid_input';
  perform set_config('response.status', v_error.status::text, true);
  return jsonb_build_object(
    'outcome', 'refused',
    'code', 'PT' || v_error.status,
    'message', v_error.symbol,
    'details', 'The event is not in the form that Cal.com sends by default.',
    'hint', 'Remove the custom payload template of the webhook.'
  );
end;
$$;
comment on function private.refuse_cal_com_event(uuid) is 'Notes custom_payload_template on the connection, notifies once. → the body of a 422 invalid_input.';
revoke all on function private.refuse_cal_com_event(uuid) from public, anon, authenticated, service_role;
