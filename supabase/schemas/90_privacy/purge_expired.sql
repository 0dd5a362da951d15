-- Obeys retention: what is kept no longer goes, in small batches.
--
-- Called by run_due_timers at every poll; each class of data is looked at until a batch is not full, and then again after
-- a quarter of an hour. What was done stands in the ledger, by numbers. Locks: the rows that go, skipping locked ones.

create or replace function private.purge_expired(max_rows integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_class record;
  v_count integer;
  v_total integer := 0;
  v_report jsonb := '{}';
begin
  for v_class in
    select s.data_class, v_now - s.keep as cutoff
    from private.retention_settings as s
    where s.checked_at + interval '15 minutes' <= v_now
    order by s.data_class
  loop
    v_count := case v_class.data_class
      when 'access_log' then private.purge_access_log(v_class.cutoff, max_rows)
      when 'audit_payloads' then private.purge_audit_payloads(v_class.cutoff, max_rows)
      when 'bookings' then private.purge_bookings(v_class.cutoff, max_rows)
      when 'calendar_tombstones' then private.purge_calendar_tombstones(v_class.cutoff, max_rows)
      when 'conversations' then private.purge_conversations(v_class.cutoff, max_rows)
      when 'notifications' then private.purge_notifications(v_class.cutoff, max_rows)
      when 'reports' then private.purge_reports(v_class.cutoff, max_rows)
      else 0
    end;
    if v_count < max_rows then
      update private.retention_settings as s set checked_at = v_now where s.data_class = v_class.data_class;
    end if;
    if v_count > 0 then
      v_report := v_report || jsonb_build_object(v_class.data_class, v_count);
      v_total := v_total + v_count;
    end if;
  end loop;
  if v_total > 0 then
    perform private.record_audit('retention_applied', null, null, v_report);
  end if;
  return v_total;
end;
$$;
comment on function private.purge_expired(integer) is 'Purges at most max_rows rows of each class that is due; gives back how many, and writes the numbers by class to the ledger.';
revoke all on function private.purge_expired(integer) from public, anon, authenticated, service_role;
