-- The network address of the visitor behind this request, as far as it can be trusted.
--
-- Called by count_booking. The Edge Function, which alone holds the service key, names the visitor in a header of ours;
-- else the platform's edge does (cf-connecting-ip), else the nearest proxy, whose entry is the last one of
-- x-forwarded-for: what stands before it was written by the caller. Null outside a request. Locks: none.

create or replace function private.visitor_address()
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_headers jsonb := nullif(current_setting('request.headers', true), '')::jsonb;
begin
  return nullif(btrim(case
    when auth.role() = 'service_role' then v_headers ->> 'x-sauti-visitor-address'
    else coalesce(v_headers ->> 'cf-connecting-ip', split_part(v_headers ->> 'x-forwarded-for', ',', -1))
  end), '');
end;
$$;
comment on function private.visitor_address() is 'The visitor''s address as text, or null. Never stored: only its keyed hash is counted.';
revoke all on function private.visitor_address() from public, anon, authenticated, service_role;
