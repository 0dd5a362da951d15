-- Entries that could not be taken out of a calendar for a week are given up.
--
-- Called by purge_expired. Locks: the rows that go, skipping locked ones.

create or replace function private.purge_calendar_tombstones(cutoff timestamptz, max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from private.calendar_tombstones as t
  where t.id = any (array(
    select x.id from private.calendar_tombstones as x where x.created_at < cutoff limit max_rows for update skip locked
  ));
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.purge_calendar_tombstones(timestamptz, integer) is 'Deletes at most max_rows tombstones of before cutoff; gives back how many.';
revoke all on function private.purge_calendar_tombstones(timestamptz, integer) from public, anon, authenticated, service_role;
