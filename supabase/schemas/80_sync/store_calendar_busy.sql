-- Takes over what the worker has read in a professional's calendar: busy times, and what became of our own events.
--
-- Called by the worker under the lease of its job, with all changes of one reading, so that free slots never show half of
-- them. A confirmed appointment that newly meets a busy time is told to the professional, and to nobody else. Definer:
-- pulls and the outbox are private. Locks: the job, the connection, then the rows that change.

create or replace function private.store_calendar_busy(job_id bigint, lease_token uuid, pulled jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job private.outbox_jobs;
  v_professional_id uuid;
  v_is_full boolean := coalesce((pulled ->> 'is_full')::boolean, false);
  v_before uuid[];
  v_clashes uuid[];
  v_busy integer;
begin
  v_job := private.leased_job(job_id, lease_token);
  if v_job.kind <> 'calendar_pull' or length(pulled ->> 'cursor') > 1048576
    or jsonb_typeof(pulled -> 'changes') is distinct from 'array' or jsonb_typeof(pulled -> 'own') is distinct from 'array'
  then
    perform private.raise_error('invalid_input', 'pulled');
  end if;
  select c.user_id into v_professional_id
  from public.calendar_connections as c
  where c.id = v_job.connection_id and c.status = 'active'
  for no key update;
  if not found then
    return '{"busy": 0, "clashes": 0}'::jsonb;
  end if;

  v_before := private.clashing_appointments(v_professional_id, v_job.connection_id);
  with seen as materialized (
    select x.change ->> 'source' as source, s.span
    from jsonb_array_elements(pulled -> 'changes') as x (change)
    left join lateral (
      select tstzrange((y.pair ->> 0)::timestamptz, (y.pair ->> 1)::timestamptz) as span
      from jsonb_array_elements(x.change -> 'spans') as y (pair)
    ) as s on true
  ),
  gone as (
    delete from public.calendar_busy as b
    where b.connection_id = v_job.connection_id and b.source is not null
      and (v_is_full or b.source in (select s.source from seen as s))
      and not exists (select 1 from seen as s where s.source = b.source and s.span = b.during)
  )
  insert into public.calendar_busy (connection_id, professional_id, during, source, created_at)
  select distinct v_job.connection_id, v_professional_id, s.span, s.source, private.clock()
  from seen as s
  where not isempty(s.span) and not exists (
    select 1
    from public.calendar_busy as b
    where b.connection_id = v_job.connection_id and b.source = s.source and b.during = s.span
  );
  get diagnostics v_busy = row_count;

  select array_agg(a.id) into v_clashes
  from unnest(private.clashing_appointments(v_professional_id, v_job.connection_id)) as a (id)
  where a.id <> all (v_before);
  perform private.notify(array[v_professional_id], 'calendar_clash', appointment_id => a.id)
  from unnest(v_clashes) as a (id);

  perform private.reconcile_calendar_events(v_job.connection_id, pulled);
  update private.calendar_pulls as p
  set cursor = pulled ->> 'cursor', failures = 0, full_at = case when v_is_full then private.clock() else p.full_at end
  where p.connection_id = v_job.connection_id;
  update public.calendar_connections as c
  set last_synced_at = private.clock(), last_error = null
  where c.id = v_job.connection_id;
  return jsonb_build_object('busy', v_busy, 'clashes', coalesce(cardinality(v_clashes), 0));
end;
$$;
comment on function private.store_calendar_busy(bigint, uuid, jsonb) is 'Definer: pulls and the outbox are private. The caller must be the worker and hold the lease.';
revoke all on function private.store_calendar_busy(bigint, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function private.store_calendar_busy(bigint, uuid, jsonb) to service_role;

create or replace function public.store_calendar_busy(job_id bigint, lease_token uuid, pulled jsonb)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.store_calendar_busy(job_id, lease_token, pulled);
$$;
comment on function public.store_calendar_busy(bigint, uuid, jsonb) is
  'Worker: stores one reading {as_of, from, until, cursor, is_full, changes: [{source, spans: [[from, until]]}], own: [{appointment_id, gone, absent, starts_at, ends_at}]}. → jsonb {busy, clashes}: times added, new clashes. Errors: invalid_transition (stale lease), invalid_input.';
revoke all on function public.store_calendar_busy(bigint, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.store_calendar_busy(bigint, uuid, jsonb) to service_role;
