-- The one clock of every rule: now(), plus the offset that tests set.
--
-- Called by: every function that compares a time. Locks: none.

create or replace function private.clock()
returns timestamptz
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select now() + o."offset" from private.clock_offset as o
  );
end;
$$;
comment on function private.clock() is 'The present moment for every rule: transaction time plus private.clock_offset.';
revoke all on function private.clock() from public, anon, authenticated, service_role;
grant execute on function private.clock() to anon, authenticated, service_role;
grant select on table private.clock_offset to anon, authenticated, service_role;
