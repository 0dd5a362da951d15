-- Whether a professional has a live appointment at a time.
--
-- Called by make_appointment and by those who are to be refused early. What it sees can change until the professional is
-- locked; a yes is a good reason to refuse all the same. Locks: none.

create or replace function private.is_engaged(
  professional_id uuid, starts_at timestamptz, duration_minutes integer, moved_id uuid default null
)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return exists (
    select 1
    from public.appointments as a
    where a.professional_id = is_engaged.professional_id
      and a.status in ('requested', 'confirmed')
      and a.appointment_id is distinct from moved_id
      and private.appointment_during(a.appointment_date, a.duration_minutes)
        && private.appointment_during(is_engaged.starts_at, is_engaged.duration_minutes)
  );
end;
$$;
comment on function private.is_engaged(uuid, timestamptz, integer, uuid) is 'True when a requested or confirmed appointment overlaps the time; moved_id is not counted.';
revoke all on function private.is_engaged(uuid, timestamptz, integer, uuid) from public, anon, authenticated, service_role;
