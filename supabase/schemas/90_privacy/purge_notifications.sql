-- Old notifications go, and the jobs that carried them.
--
-- Called by purge_expired. Locks: the rows that go, skipping locked ones.

create or replace function private.purge_notifications(cutoff timestamptz, max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from public.notifications as n
  where n.id = any (array(
    select x.id from public.notifications as x where x.created_at < cutoff order by x.created_at limit max_rows for update skip locked
  ));
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.purge_notifications(timestamptz, integer) is 'Deletes at most max_rows notifications of before cutoff; gives back how many.';
revoke all on function private.purge_notifications(timestamptz, integer) from public, anon, authenticated, service_role;
