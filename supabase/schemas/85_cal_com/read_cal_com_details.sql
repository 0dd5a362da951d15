-- Client, type, place and link out of a Cal.com payload, each cleaned or left out.
--
-- Called by read_cal_com_event. The title is not read: it holds names. Of several attendees the first is the client. Locks:
-- none.

create or replace function private.read_cal_com_details(payload jsonb)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_attendee jsonb := coalesce(payload -> 'attendees' -> 0, '{}'::jsonb);
  v_email text := private.clean_line(coalesce(v_attendee ->> 'email', payload #>> '{responses,email,value}'), 254);
  v_phone text := coalesce(
    v_attendee ->> 'phoneNumber', payload #>> '{responses,attendeePhoneNumber,value}', payload #>> '{responses,phone,value}'
  );
  v_locale text := v_attendee #>> '{language,locale}';
  v_link text := coalesce(payload #>> '{metadata,videoCallUrl}', payload ->> 'location');
  v_location text := private.clean_line(payload ->> 'location', 300);
begin
  return jsonb_build_object(
    'name', private.clean_line(coalesce(v_attendee ->> 'name', payload #>> '{responses,name,value}'), 120),
    'email', case when private.is_mail_address(v_email) then v_email end,
    'phone', case when v_phone ~ '^\+?[0-9 ()./-]{3,32}$' then v_phone end,
    'message', left(nullif(btrim(coalesce(payload ->> 'additionalNotes', payload #>> '{responses,notes,value}')), ''), 2000),
    'locale', case when v_locale ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$' then v_locale end,
    'time_zone', case when private.is_time_zone(v_attendee ->> 'timeZone') then v_attendee ->> 'timeZone' end,
    'type', private.clean_line(payload ->> 'type', 60),
    'meeting_url', case when length(v_link) <= 500 and v_link ~ '^https://[^[:space:][:cntrl:]]+$' then v_link end,
    'location', case when v_location !~ '^(integrations:|https?://)' then v_location end
  );
end;
$$;
comment on function private.read_cal_com_details(jsonb) is 'jsonb {name, email, phone, message, locale, time_zone, type, meeting_url, location}, null where there is nothing usable.';
revoke all on function private.read_cal_com_details(jsonb) from public, anon, authenticated, service_role;
