-- A Cal.com event becomes what it means for the appointments of one professional, once.
--
-- Called by the Edge Function `cal-com-webhook`, which has verified the signature, and by `cal-com reconcile`. Any order,
-- any repetition of the same events ends in the same state: they are merged by their createdAt, a cancelled booking stays
-- cancelled, and only then the appointment follows. Definer: it writes appointments. Locks: the professional.

create or replace function private.apply_cal_com_event(professional_id uuid, event jsonb, body_hash text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_professional_id uuid;
  v_read jsonb := private.read_cal_com_event(event);
  v_outcome text := 'ignored';
begin
  perform private.require_service_role();
  if body_hash is null or length(body_hash) not between 1 and 128 then
    perform private.raise_error('invalid_input', 'body_hash: 1 to 128 characters.');
  end if;
  select p.id into v_professional_id
  from public.professionals as p
  where p.id = apply_cal_com_event.professional_id
  for no key update;
  if v_professional_id is null then
    perform private.raise_error('not_found');
  elsif v_read ->> 'kind' = 'unreadable' then
    return private.refuse_cal_com_event(v_professional_id);
  end if;

  delete from private.cal_com_deliveries as d
  where d.professional_id = v_professional_id and d.received_at < private.clock() - interval '90 days';
  update private.cal_com_bookings as b
  set details = null
  where b.professional_id = v_professional_id and b.details is not null and b.ends_at < private.clock() - interval '90 days';
  insert into private.cal_com_deliveries (professional_id, body_hash, trigger_event, uid, event_created_at, outcome, received_at)
  values (
    v_professional_id, apply_cal_com_event.body_hash, v_read ->> 'trigger', v_read ->> 'uid',
    (v_read ->> 'created_at')::timestamptz, 'ignored', private.clock()
  )
  on conflict do nothing;
  if not found then
    return jsonb_build_object('outcome', 'duplicate');
  end if;
  update public.cal_com_connections as c
  set status = 'active', last_error = null, last_event_at = private.clock()
  where c.professional_id = v_professional_id;

  if v_read ->> 'kind' <> 'ignored' then
    perform private.merge_cal_com_event(v_professional_id, v_read);
    v_outcome := private.settle_cal_com_booking(v_professional_id, v_read ->> 'uid');
    update private.cal_com_deliveries as d
    set outcome = v_outcome
    where d.professional_id = v_professional_id and d.body_hash = apply_cal_com_event.body_hash;
  end if;
  return jsonb_build_object('outcome', v_outcome);
exception
  when exclusion_violation then
    -- Somebody wrote past the lock; the sender tries again and then finds the conflict.
    perform private.raise_error('slot_taken');
end;
$$;
comment on function private.apply_cal_com_event(uuid, jsonb, text) is 'Definer: writes appointments. The caller must be the webhook or the reconciliation, with the service key.';
revoke all on function private.apply_cal_com_event(uuid, jsonb, text) from public, anon, authenticated, service_role;
grant execute on function private.apply_cal_com_event(uuid, jsonb, text) to service_role;

create or replace function public.apply_cal_com_event(professional_id uuid, event jsonb, body_hash text)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.apply_cal_com_event(professional_id, event, body_hash);
$$;
comment on function public.apply_cal_com_event(uuid, jsonb, text) is
  'Webhook: applies a Cal.com event. → jsonb {outcome: applied | conflict | ignored | duplicate}; an event that cannot be read is answered 422 invalid_input and noted on the connection. Errors: not_found, invalid_input, slot_taken.';
revoke all on function public.apply_cal_com_event(uuid, jsonb, text) from public, anon, authenticated, service_role;
grant execute on function public.apply_cal_com_event(uuid, jsonb, text) to service_role;
