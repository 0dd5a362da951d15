-- An administrator decides about a professional, with a reason that the professional can read.
--
-- Called by administrators; a repeated decision adds nothing. Leaving verified withdraws open offers and hands cases over
-- (triggers on the table). Definer: verification is not writable directly. Locks: the professional, then what it changes.

create or replace function private.verify_professional(professional_id uuid, status public.verification_status, note text)
returns public.professionals
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_admin_id uuid := private.require_admin();
  v_professional public.professionals;
begin
  if length(note) > 1000 or (status in ('rejected', 'suspended') and coalesce(note, '') !~ '[^[:space:]]') then
    perform private.raise_error('invalid_input', 'note: at most 1000 characters, and not empty when something is rejected or suspended.');
  elsif status is null then
    perform private.raise_error('invalid_input', 'status: missing');
  end if;
  select x.* into v_professional from public.professionals as x where x.id = verify_professional.professional_id for no key update;
  if not found then
    perform private.raise_error('not_found');
  elsif v_professional.verification_status = status then
    return v_professional;
  end if;
  insert into public.verification_decisions (professional_id, service_id, status, note, decided_by, created_at)
  values (v_professional.id, null, verify_professional.status, verify_professional.note, v_admin_id, private.clock());
  update public.professionals as x
  set verification_status = verify_professional.status
  where x.id = v_professional.id
  returning x.* into v_professional;
  perform private.notify(array[v_professional.id], 'verification_changed');
  return v_professional;
end;
$$;
comment on function private.verify_professional(uuid, public.verification_status, text) is 'Definer: verification is not writable directly. The caller must be an administrator.';
revoke all on function private.verify_professional(uuid, public.verification_status, text) from public, anon, authenticated, service_role;
grant execute on function private.verify_professional(uuid, public.verification_status, text) to authenticated;

create or replace function public.verify_professional(professional_id uuid, status public.verification_status, note text default null)
returns public.professionals
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.verify_professional(professional_id, status, note);
end;
$$;
comment on function public.verify_professional(uuid, public.verification_status, text) is
  'Administrator: sets the verification of a professional and keeps the reason; one is needed to reject or suspend. Leaving verified withdraws open offers and hands accepted cases over. → the professional. Errors: not_allowed, not_found, invalid_input.';
revoke all on function public.verify_professional(uuid, public.verification_status, text) from public, anon, authenticated, service_role;
grant execute on function public.verify_professional(uuid, public.verification_status, text) to anon, authenticated;
