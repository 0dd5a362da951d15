-- Ciphertexts that are not under a given key, for their renewal.
--
-- Called with the service key by `sauti-sync keys rotate`. Whoever calls holds the keys or can read nothing. Definer:
-- credentials are private. Locks: none.

create or replace function private.list_credentials(
  key_id text, max_rows integer, after_kind text, after_id text
)
returns table (kind text, id text, user_id uuid, provider text, ciphertext text)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  if key_id is null or key_id !~ '^[A-Za-z0-9_-]{1,40}$' or max_rows is null or max_rows not between 1 and 1000 then
    perform private.raise_error('invalid_input', 'key_id, or max_rows: 1 to 1000.');
  end if;
  return query
  select s.kind, s.id, s.user_id, s.provider, s.ciphertext
  from (
    select 'calendar' as kind, c.id::text as id, c.user_id, c.provider::text as provider, k.ciphertext
    from private.calendar_credentials as k
    join public.calendar_connections as c on c.id = k.connection_id
    union all
    select 'retired', r.job_id::text, r.user_id, r.provider::text, r.ciphertext
    from private.calendar_retirements as r
    union all
    select 'cal_com', x.professional_id::text, x.professional_id, 'cal_com', x.ciphertext
    from private.cal_com_secrets as x
  ) as s
  where split_part(s.ciphertext, '.', 2) <> key_id and (s.kind, s.id) > (coalesce(after_kind, ''), coalesce(after_id, ''))
  order by s.kind, s.id
  limit max_rows;
end;
$$;
comment on function private.list_credentials(text, integer, text, text) is 'Definer: credentials are private. The caller must hold the service key.';
revoke all on function private.list_credentials(text, integer, text, text) from public, anon, authenticated, service_role;
grant execute on function private.list_credentials(text, integer, text, text) to service_role;

create or replace function public.list_credentials(
  key_id text, max_rows integer default 100, after_kind text default '', after_id text default ''
)
returns table (kind text, id text, user_id uuid, provider text, ciphertext text)
language sql
stable
security invoker
set search_path = ''
as $$
  select * from private.list_credentials(key_id, max_rows, after_kind, after_id);
$$;
comment on function public.list_credentials(text, integer, text, text) is
  'Operators: ciphertexts that another key than key_id encrypts, at most max_rows (1 to 1000), in order behind (after_kind, after_id). → kind calendar, retired or cal_com; id; what the ciphertext is bound to. Errors: invalid_input.';
revoke all on function public.list_credentials(text, integer, text, text) from public, anon, authenticated, service_role;
grant execute on function public.list_credentials(text, integer, text, text) to service_role;
