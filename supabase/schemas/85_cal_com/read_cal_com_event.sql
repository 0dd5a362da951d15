-- What one Cal.com event says, in our words.
--
-- Called by apply_cal_com_event. Locks: none. `kind` is booking, no_show, ignored (nothing to do with appointments, or
-- unknown: Cal.com adds events) or unreadable (a custom payload template can change everything). MEETING_STARTED and
-- MEETING_ENDED are flat, and their createdAt is the booking's own: they say nothing new and are ignored.

create or replace function private.read_cal_com_event(event jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_trigger text := case when jsonb_typeof(event -> 'triggerEvent') = 'string' then event ->> 'triggerEvent' end;
  v_payload jsonb := event -> 'payload';
  v_uid text := coalesce(v_payload ->> 'uid', v_payload ->> 'bookingUid');
  v_from text := v_payload ->> 'rescheduleUid';
  v_created_at timestamptz := private.parse_instant(event ->> 'createdAt');
  v_starts_at timestamptz := private.parse_instant(v_payload ->> 'startTime');
  v_ends_at timestamptz := private.parse_instant(v_payload ->> 'endTime');
  v_unreadable jsonb := jsonb_build_object('kind', 'unreadable');
  v_common jsonb;
begin
  if v_trigger is null or length(v_trigger) > 60 or v_trigger !~ '^[A-Z][A-Z0-9_]*$' then
    return v_unreadable;
  elsif v_trigger not in (
    'BOOKING_CREATED', 'BOOKING_REQUESTED', 'BOOKING_RESCHEDULED', 'BOOKING_PAID', 'BOOKING_CANCELLED', 'BOOKING_REJECTED',
    'BOOKING_NO_SHOW_UPDATED'
  ) then
    return jsonb_build_object('kind', 'ignored', 'trigger', v_trigger);
  elsif jsonb_typeof(v_payload) is distinct from 'object' or v_created_at is null
    or v_uid is null or not private.is_clean_text(v_uid, 255) or v_uid = ''
  then
    return v_unreadable;
  end if;
  v_common := jsonb_build_object('trigger', v_trigger, 'uid', v_uid, 'created_at', v_created_at);

  if v_trigger = 'BOOKING_NO_SHOW_UPDATED' then
    if jsonb_typeof(v_payload -> 'attendees') is distinct from 'array' then
      return v_unreadable;
    end if;
    return v_common || jsonb_build_object(
      'kind', 'no_show', 'is_no_show', v_payload -> 'attendees' @? '$[*] ? (@.noShow == true)'
    );
  end if;

  v_common := v_common || jsonb_build_object(
    'kind', 'booking',
    'rescheduled_from', case when private.is_clean_text(v_from, 255) and v_from not in ('', v_uid) then v_from end
  );
  if v_trigger in ('BOOKING_CANCELLED', 'BOOKING_REJECTED') then
    -- Also when the attendee is asked for another time (requestReschedule): until then there is no booking.
    return v_common || jsonb_build_object(
      'state', 'cancelled',
      'reason', private.clean_line(coalesce(v_payload ->> 'cancellationReason', v_payload ->> 'rejectionReason'), 500)
    );
  end if;
  if v_starts_at is null or v_ends_at is null or v_ends_at <= v_starts_at or v_ends_at > v_starts_at + interval '366 days' then
    return v_unreadable;
  end if;
  return v_common || jsonb_build_object(
    -- Times of the new booking; rescheduleStartTime and rescheduleEndTime belong to the one it replaces.
    'starts_at', v_starts_at,
    'ends_at', v_ends_at,
    'state', case
      when v_trigger = 'BOOKING_REQUESTED' or upper(v_payload ->> 'status') = 'PENDING' then 'requested'
      else 'confirmed'
    end,
    'details', private.read_cal_com_details(v_payload)
  );
end;
$$;
comment on function private.read_cal_com_event(jsonb) is 'jsonb {kind: booking | no_show | ignored | unreadable, trigger, uid, created_at, rescheduled_from, state, starts_at, ends_at, details, reason, is_no_show}.';
revoke all on function private.read_cal_com_event(jsonb) from public, anon, authenticated, service_role;
