-- What outside clients told goes some time after their session; the appointment stays.
--
-- Called by purge_expired. Locks: the rows that go, skipping locked ones.

create or replace function private.purge_bookings(cutoff timestamptz, max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from public.appointment_clients as c
  where c.appointment_id = any (array(
    select x.appointment_id
    from public.appointment_clients as x
    join public.appointments as a on a.appointment_id = x.appointment_id
    where a.appointment_date < cutoff
    limit max_rows
    for update of x skip locked
  ));
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.purge_bookings(timestamptz, integer) is 'Deletes the details of at most max_rows clients of sessions before cutoff; gives back how many.';
revoke all on function private.purge_bookings(timestamptz, integer) from public, anon, authenticated, service_role;
