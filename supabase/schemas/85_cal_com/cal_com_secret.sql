-- The encrypted webhook secret of a professional, or null.
--
-- Called by the Edge Function `cal-com-webhook` before it can verify a signature: it holds the key, the database does not.
-- Definer: secrets are private. Locks: none.

create or replace function private.cal_com_secret(professional_id uuid)
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_service_role();
  return (select s.ciphertext from private.cal_com_secrets as s where s.professional_id = cal_com_secret.professional_id);
end;
$$;
comment on function private.cal_com_secret(uuid) is 'Definer: secrets are private. The caller must be the Edge Function with the service key.';
revoke all on function private.cal_com_secret(uuid) from public, anon, authenticated, service_role;
grant execute on function private.cal_com_secret(uuid) to service_role;

create or replace function public.cal_com_secret(professional_id uuid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select private.cal_com_secret(professional_id);
$$;
comment on function public.cal_com_secret(uuid) is 'Webhook: the ciphertext of the professional''s webhook secret. → text, null without a connection.';
revoke all on function public.cal_com_secret(uuid) from public, anon, authenticated, service_role;
grant execute on function public.cal_com_secret(uuid) to service_role;
