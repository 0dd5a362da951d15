-- Encodes a text for the query of an address (RFC 3986): everything but letters, digits and - . _ ~.
--
-- Called by calendar_links. Pure. Locks: none.

create or replace function private.percent_encode(value text)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_bytes bytea := convert_to(value, 'UTF8');
begin
  return (
    select coalesce(string_agg(
      case
        when chr(b.octet) ~ '^[A-Za-z0-9._~-]$' then chr(b.octet)
        else '%' || upper(lpad(to_hex(b.octet), 2, '0'))
      end,
      '' order by b.place
    ), '')
    from (select i as place, get_byte(v_bytes, i) as octet from generate_series(0, length(v_bytes) - 1) as i) as b
  );
end;
$$;
comment on function private.percent_encode(text) is 'The text''s UTF-8 octets, percent-encoded; null for null.';
revoke all on function private.percent_encode(text) from public, anon, authenticated, service_role;
