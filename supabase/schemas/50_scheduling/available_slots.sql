-- The free slots of one professional, for whoever may book them.
--
-- Called by visitors when the professional takes public bookings, by the professional, and by a survivor whose case they
-- accepted; to everybody else the professional does not exist. Slots at which the caller is engaged elsewhere are left
-- out. Definer: others' hours and appointments are not readable, free slots are. Locks: none.

create or replace function private.available_slots(professional_id uuid, from_date date, to_date date, duration_minutes integer)
returns table (slot_start timestamptz, slot_end timestamptz)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
  v_is_own boolean := coalesce(professional_id = v_user_id, false);
begin
  if from_date is null or to_date is null or not isfinite(from_date) or not isfinite(to_date) or to_date < from_date
    or to_date - from_date > 91
  then
    perform private.raise_error('invalid_input', 'from_date, to_date: a window of 1 to 92 days.');
  elsif duration_minutes is null or duration_minutes not between 30 and 120 then
    perform private.raise_error('invalid_duration');
  end if;
  if not v_is_own
    and not exists (
      select 1
      from public.professionals as p
      where p.id = available_slots.professional_id and p.verification_status = 'verified' and p.is_public_booking
    )
    and not exists (
      select 1
      from public.reports as r
      join public.matched_services as m on m.report_id = r.report_id
      where r.user_id = v_user_id and m.professional_id = available_slots.professional_id and m.match_status_type = 'accepted'
    )
  then
    perform private.raise_error('not_found');
  end if;
  return query
  select distinct f.slot_start, f.slot_start + make_interval(mins => duration_minutes)
  from private.free_slots(
    array[professional_id], from_date, to_date, duration_minutes, case when not v_is_own then v_user_id end,
    v_user_id is not null and not v_is_own and private.is_crisis_case(professional_id, v_user_id)
  ) as f
  order by 1;
end;
$$;
comment on function private.available_slots(uuid, date, date, integer) is 'Definer: hours and appointments of others are not readable. Gives free slots to public bookers, the professional and survivors of accepted cases.';
revoke all on function private.available_slots(uuid, date, date, integer) from public, anon, authenticated, service_role;
grant execute on function private.available_slots(uuid, date, date, integer) to anon, authenticated, service_role;

create or replace function public.available_slots(
  professional_id uuid, from_date date, to_date date, duration_minutes integer default 60
)
returns table (slot_start timestamptz, slot_end timestamptz)
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return query
  select s.slot_start, s.slot_end from private.available_slots(professional_id, from_date, to_date, duration_minutes) as s;
end;
$$;
comment on function public.available_slots(uuid, date, date, integer) is
  'Public bookers, the professional, a survivor with an accepted case: free slots on the professional''s local days from_date to to_date, at most 92 of them, in order. → slot_start, slot_end. Errors: not_found, invalid_input, invalid_duration.';
revoke all on function public.available_slots(uuid, date, date, integer) from public, anon, authenticated, service_role;
grant execute on function public.available_slots(uuid, date, date, integer) to anon, authenticated, service_role;
