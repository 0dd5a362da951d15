-- Old entries of the survivors' access log go; the ledger keeps its own.
--
-- Called by purge_expired. Locks: the rows that go, skipping locked ones.

create or replace function private.purge_access_log(cutoff timestamptz, max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from private.access_log_entries as e
  where e.id = any (array(
    select x.id from private.access_log_entries as x where x.opened_at < cutoff order by x.id limit max_rows for update skip locked
  ));
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.purge_access_log(timestamptz, integer) is 'Deletes at most max_rows entries of before cutoff; gives back how many.';
revoke all on function private.purge_access_log(timestamptz, integer) from public, anon, authenticated, service_role;
