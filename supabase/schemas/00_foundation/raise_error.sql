-- The only way in which our SQL refuses: SQLSTATE PT<status>, message = the registered symbol.
--
-- Called by: every function and trigger, as any role; it reads the registry with the caller's rights. Locks: none.

create or replace function private.raise_error(symbol text, details text default null, hint text default null)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_error private.error_codes;
begin
  select e.* into strict v_error from private.error_codes as e where e.symbol = raise_error.symbol;
  raise exception using
    errcode = 'PT' || v_error.status,
    message = v_error.symbol,
    detail = coalesce(raise_error.details, v_error.details),
    hint = coalesce(raise_error.hint, v_error.hint);
end;
$$;
comment on function private.raise_error(text, text, text) is 'Raises the registered error `symbol`; details and hint default to the registry''s and must never hold personal data.';
revoke all on function private.raise_error(text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.raise_error(text, text, text) to anon, authenticated, service_role;
grant select on table private.error_codes to anon, authenticated, service_role;
