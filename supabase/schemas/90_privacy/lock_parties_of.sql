-- Locks everybody whose cases change when an account goes, in the one order of all locks.
--
-- Called by erase_my_data before it deletes the user, and again by the trigger on the profile. Locks: the professionals
-- who ever had an offer of the person's reports, and the person, if a professional, in the order of their ids; then the
-- person's profile.

create or replace function private.lock_parties_of(person_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform 1
  from public.professionals as p
  where p.id = person_id or p.id in (
    select m.professional_id
    from public.reports as r
    join public.matched_services as m on m.report_id = r.report_id
    where r.user_id = person_id
    union all
    select a.professional_id from public.appointments as a where a.survivor_id = person_id
  )
  order by p.id
  for no key update;
  perform 1 from public.profiles as p where p.id = person_id for no key update;
end;
$$;
comment on function private.lock_parties_of(uuid) is 'Takes the locks of an erasure.';
revoke all on function private.lock_parties_of(uuid) from public, anon, authenticated, service_role;
