-- A worker takes a batch of due jobs and learns at once what each means: claim_jobs and job_context in one call.
--
-- Called by the worker, which begins with what it takes right away. When one context cannot be read, none is given: the
-- worker then asks for each alone, so that a broken job costs only itself. Definer: as those. Locks: as those.

create or replace function private.take_jobs(worker_id text, max_jobs integer, lease_seconds integer, kinds text[])
returns table (
  job_id bigint, kind text, attempt integer, max_attempts integer, lease_token uuid, queued_at timestamptz, context jsonb
)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_ids bigint[];
  v_kinds text[];
  v_attempts integer[];
  v_most integer[];
  v_tokens uuid[];
  v_moments timestamptz[];
  v_contexts jsonb[];
begin
  select array_agg(c.job_id), array_agg(c.kind), array_agg(c.attempt), array_agg(c.max_attempts), array_agg(c.lease_token),
    array_agg(c.queued_at)
  into v_ids, v_kinds, v_attempts, v_most, v_tokens, v_moments
  from private.claim_jobs(worker_id, max_jobs, lease_seconds, kinds) as c;
  if v_ids is null then
    return;
  end if;
  -- A claim that a crash of the server takes back is made again by another worker while the first one acts on it. Only where
  -- nothing outside changes may that be: those claims do not wait for the disk.
  if v_kinds <@ '{probe,calendar_pull}'::text[] then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  begin
    select array_agg(
      case c.kind
        -- It means nothing that would have to be looked up.
        when 'probe' then '{"state": "due", "kind": "probe"}'::jsonb
        else private.job_context(c.id, c.token)
      end order by c.position
    ) into v_contexts
    from unnest(v_ids, v_kinds, v_tokens) with ordinality as c (id, kind, token, position);
  exception when others then
    v_contexts := null;
  end;
  return query
  select c.id, c.kind, c.attempt, c.most, c.token, c.moment, v_contexts[c.position]
  from unnest(v_ids, v_kinds, v_attempts, v_most, v_tokens, v_moments) with ordinality
    as c (id, kind, attempt, most, token, moment, position);
end;
$$;
comment on function private.take_jobs(text, integer, integer, text[]) is 'Definer: the outbox is private; reads addresses and credentials. The caller must be the worker.';
revoke all on function private.take_jobs(text, integer, integer, text[]) from public, anon, authenticated, service_role;
grant execute on function private.take_jobs(text, integer, integer, text[]) to service_role;

create or replace function public.take_jobs(worker_id text, max_jobs integer, lease_seconds integer, kinds text[] default null)
returns table (
  job_id bigint, kind text, attempt integer, max_attempts integer, lease_token uuid, queued_at timestamptz, context jsonb
)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return query select * from private.take_jobs(worker_id, max_jobs, lease_seconds, kinds);
end;
$$;
comment on function public.take_jobs(text, integer, integer, text[]) is
  'Worker: claim_jobs with the job_context of each job taken (null: ask for it alone). → one row for each.';
revoke all on function public.take_jobs(text, integer, integer, text[]) from public, anon, authenticated, service_role;
grant execute on function public.take_jobs(text, integer, integer, text[]) to service_role;
