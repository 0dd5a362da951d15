-- Publishable facts: own row, those who take public bookings, and for a survivor those who accepted a case of theirs.

alter table public.professionals enable row level security;
revoke all on table public.professionals from public, anon, authenticated, service_role;
grant select on table public.professionals to anon, authenticated;
grant update (
  professional_title, bio, avatar_url, gender, languages, is_public_booking, booking_slug, time_zone, out_of_office_until
) on table public.professionals to authenticated;
grant select, insert, update, delete on table public.professionals to service_role;

create policy select_bookable on public.professionals
for select to anon
using (verification_status = 'verified' and is_public_booking);
comment on policy select_bookable on public.professionals is 'Visitors see verified professionals who chose to take public bookings.';

create policy select_known on public.professionals
for select to authenticated
using (
  id = (select auth.uid())
  or (verification_status = 'verified' and is_public_booking)
  or (select private.is_admin())
  or id = any (array(
    select m.professional_id
    from public.matched_services as m
    where m.match_status_type in ('accepted', 'completed')
      and m.report_id = any (array(select r.report_id from public.reports as r where r.user_id = (select auth.uid())))
  ))
);
comment on policy select_known on public.professionals is 'The own row, public booking, a professional who accepted one of my reports; and administrators, who verify them.';

create policy update_own on public.professionals
for update to authenticated
using (id = (select auth.uid()))
with check (id = (select auth.uid()));
comment on policy update_own on public.professionals is 'The own card; the column grants keep verification_status out.';
