-- How long what the jobs of a connection have sent may still take effect; null when none is in doubt.
--
-- Called where a calendar is emptied for good and its jobs go: by the retirement of a connection and, for one appointment,
-- by the burial of entries. A job that runs is waited for until its lease ends. Locks: none.

create or replace function private.doubtful_until(connection_id uuid, appointment_id uuid default null)
returns timestamptz
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
begin
  return (
    select max(coalesce(j.leased_until, v_now)) + max(s.doubt_seconds) * interval '1 second'
    from private.outbox_jobs as j, private.calendar_settings as s
    where j.connection_id = doubtful_until.connection_id and private.is_in_doubt(j)
      and (doubtful_until.appointment_id is null or j.appointment_id = doubtful_until.appointment_id)
  );
end;
$$;
comment on function private.doubtful_until(uuid, uuid) is 'Until when jobs of a connection, or of one appointment there, may still take effect; null when none is in doubt.';
revoke all on function private.doubtful_until(uuid, uuid) from public, anon, authenticated, service_role;
