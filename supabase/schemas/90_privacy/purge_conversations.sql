-- Messages and notes of cases that ended long ago go.
--
-- Called by purge_expired. Case by case, so that a conversation is never cut in half. Locks: the rows that go.

create or replace function private.purge_conversations(cutoff timestamptz, max_cases integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_cases uuid[] := array(
    select m.id
    from public.matched_services as m
    where m.closed_at < cutoff
      and (
        exists (select 1 from public.messages as w where w.matched_services = m.id)
        or exists (select 1 from public.case_notes as n where n.matched_services = m.id)
      )
    order by m.closed_at
    limit max_cases
  );
begin
  delete from public.messages as w where w.matched_services = any (v_cases);
  delete from public.case_notes as n where n.matched_services = any (v_cases);
  return cardinality(v_cases);
end;
$$;
comment on function private.purge_conversations(timestamptz, integer) is 'Deletes the messages and notes of at most max_cases cases that ended before cutoff; gives back how many cases.';
revoke all on function private.purge_conversations(timestamptz, integer) from public, anon, authenticated, service_role;
