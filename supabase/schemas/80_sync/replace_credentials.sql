-- Puts a ciphertext under another key, unless it has been replaced in the meantime.
--
-- Called with the service key by `sauti-sync keys rotate`: a worker may store fresh tokens while keys are rotated, and
-- those must not be overwritten by older ones. Definer: credentials are private. Locks: the row.

create or replace function private.replace_credentials(kind text, id text, seen text, ciphertext text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  if kind is null or kind not in ('calendar', 'retired', 'cal_com')
    or id is null or (kind = 'retired') <> (id ~ '^[0-9]{1,18}$')
    or (kind <> 'retired') <> (id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
    or seen is null or ciphertext is null or length(ciphertext) > 20000
    or ciphertext !~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{22,}$'
  then
    perform private.raise_error('invalid_input', 'kind, id, seen or ciphertext');
  end if;
  if kind = 'calendar' then
    update private.calendar_credentials as k
    set ciphertext = replace_credentials.ciphertext, updated_at = private.clock()
    where k.connection_id = replace_credentials.id::uuid and k.ciphertext = seen;
  elsif kind = 'retired' then
    update private.calendar_retirements as r
    set ciphertext = replace_credentials.ciphertext
    where r.job_id = replace_credentials.id::bigint and r.ciphertext = seen;
  else
    update private.cal_com_secrets as s
    set ciphertext = replace_credentials.ciphertext, updated_at = private.clock()
    where s.professional_id = replace_credentials.id::uuid and s.ciphertext = seen;
  end if;
  return found;
end;
$$;
comment on function private.replace_credentials(text, text, text, text) is 'Definer: credentials are private. The caller must hold the service key.';
revoke all on function private.replace_credentials(text, text, text, text) from public, anon, authenticated, service_role;
grant execute on function private.replace_credentials(text, text, text, text) to service_role;

create or replace function public.replace_credentials(kind text, id text, seen text, ciphertext text)
returns boolean
language sql
volatile
security invoker
set search_path = ''
as $$
  select private.replace_credentials(kind, id, seen, ciphertext);
$$;
comment on function public.replace_credentials(text, text, text, text) is
  'Operators: replaces a ciphertext of list_credentials if it is still the one seen. → whether it was. Errors: invalid_input.';
revoke all on function public.replace_credentials(text, text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.replace_credentials(text, text, text, text) to service_role;
