-- An administrator decides about a service, with a reason that the professional can read.
--
-- Called by administrators; a repeated decision adds nothing. Leaving verified withdraws open offers and hands cases over
-- (triggers on the table). Definer: verification is not writable directly. Locks: the professional, then what it changes.

create or replace function private.verify_service(service_id uuid, status public.verification_status, note text)
returns public.support_services
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_admin_id uuid := private.require_admin();
  v_service public.support_services;
begin
  if length(note) > 1000 or (status in ('rejected', 'suspended') and coalesce(note, '') !~ '[^[:space:]]') then
    perform private.raise_error('invalid_input', 'note: at most 1000 characters, and not empty when something is rejected or suspended.');
  elsif status is null then
    perform private.raise_error('invalid_input', 'status: missing');
  end if;
  perform 1
  from public.professionals as p
  where p.id = (select s.professional_id from public.support_services as s where s.id = verify_service.service_id)
  for no key update;
  select x.* into v_service from public.support_services as x where x.id = verify_service.service_id for no key update;
  if not found then
    perform private.raise_error('not_found');
  elsif v_service.verification_status = status then
    return v_service;
  end if;
  insert into public.verification_decisions (professional_id, service_id, status, note, decided_by, created_at)
  values (v_service.professional_id, v_service.id, verify_service.status, verify_service.note, v_admin_id, private.clock());
  update public.support_services as x
  set verification_status = verify_service.status
  where x.id = v_service.id
  returning x.* into v_service;
  perform private.notify(array[v_service.professional_id], 'verification_changed');
  return v_service;
end;
$$;
comment on function private.verify_service(uuid, public.verification_status, text) is 'Definer: verification is not writable directly. The caller must be an administrator.';
revoke all on function private.verify_service(uuid, public.verification_status, text) from public, anon, authenticated, service_role;
grant execute on function private.verify_service(uuid, public.verification_status, text) to authenticated;

create or replace function public.verify_service(service_id uuid, status public.verification_status, note text default null)
returns public.support_services
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.verify_service(service_id, status, note);
end;
$$;
comment on function public.verify_service(uuid, public.verification_status, text) is
  'Administrator: sets the verification of a service and keeps the reason; one is needed to reject or suspend. Leaving verified withdraws open offers and hands accepted cases over. → the service. Errors: not_allowed, not_found, invalid_input.';
revoke all on function public.verify_service(uuid, public.verification_status, text) from public, anon, authenticated, service_role;
grant execute on function public.verify_service(uuid, public.verification_status, text) to anon, authenticated;
