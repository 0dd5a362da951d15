-- Reads what a visitor tells about themselves, and says which field is wrong.
--
-- Called by book_appointment before it looks at anything else, so that a bad form costs nothing and tells nothing. Only
-- known fields, only text, nothing longer than its column. Locks: none.

create or replace function private.read_client(client jsonb, is_mail_optional boolean)
returns public.appointment_clients
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_client public.appointment_clients;
  v_fields constant text[] := array[
    'client_name', 'client_email', 'client_phone', 'emergency_contact_name', 'emergency_contact_phone', 'message', 'locale', 'time_zone'
  ];
begin
  if client is null or jsonb_typeof(client) <> 'object' or octet_length(client::text) > 32768 then
    perform private.raise_error('invalid_input', 'client: an object of at most 32 kB.');
  elsif client - v_fields <> '{}' then
    perform private.raise_error('invalid_input', 'client: only ' || array_to_string(v_fields, ', ') || '.');
  elsif exists (select 1 from jsonb_each(client) as f where jsonb_typeof(f.value) not in ('string', 'null')) then
    perform private.raise_error('invalid_input', 'client: each field is text or null.');
  end if;
  v_client.client_name := btrim(client ->> 'client_name');
  v_client.client_email := nullif(btrim(client ->> 'client_email'), '');
  v_client.client_phone := nullif(btrim(client ->> 'client_phone'), '');
  v_client.emergency_contact_name := nullif(btrim(client ->> 'emergency_contact_name'), '');
  v_client.emergency_contact_phone := nullif(btrim(client ->> 'emergency_contact_phone'), '');
  v_client.message := nullif(client ->> 'message', '');
  v_client.locale := coalesce(nullif(client ->> 'locale', ''), 'en');
  v_client.time_zone := coalesce(nullif(client ->> 'time_zone', ''), 'UTC');
  perform private.raise_error('invalid_input', case f.field
    when 'client_name' then 'client_name: one line of 1 to 120 characters without < and >.'
    when 'client_email' then 'client_email: one mail address.'
    when 'client_phone' then 'client_phone: 3 to 32 digits, spaces and ()./-, with + in front or not.'
    when 'emergency_contact_name' then 'emergency_contact_name: one line of 1 to 120 characters without < and >.'
    when 'emergency_contact_phone' then 'emergency_contact_phone: 3 to 32 digits, spaces and ()./-, with + in front or not.'
    when 'message' then 'message: at most 4000 characters, no control characters but line breaks and tabs.'
    when 'locale' then 'locale: a language such as en or pt-BR.'
    else 'time_zone: an IANA zone such as Africa/Nairobi.'
  end)
  from (values
    (1, 'client_name', v_client.client_name is not null and private.is_plain_line(v_client.client_name, 120)),
    (2, 'client_email', coalesce(private.is_mail_address(v_client.client_email), is_mail_optional)),
    (3, 'client_phone', v_client.client_phone ~ '^\+?[0-9 ()./-]{3,32}$'),
    (4, 'emergency_contact_name', private.is_plain_line(v_client.emergency_contact_name, 120)),
    (5, 'emergency_contact_phone', v_client.emergency_contact_phone ~ '^\+?[0-9 ()./-]{3,32}$'),
    (6, 'message', length(v_client.message) <= 4000 and v_client.message !~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]'),
    (7, 'locale', v_client.locale ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$'),
    (8, 'time_zone', private.is_time_zone(v_client.time_zone))
  ) as f (place, field, is_right)
  where not f.is_right
  order by f.place
  limit 1;
  return v_client;
end;
$$;
comment on function private.read_client(jsonb, boolean) is 'The fields of public.appointment_clients from {client_name, client_email, client_phone, emergency_contact_name, emergency_contact_phone, message, locale, time_zone}; raises invalid_input.';
revoke all on function private.read_client(jsonb, boolean) from public, anon, authenticated, service_role;
