-- How a professional wants to be booked is their own business; others see free slots.

alter table public.scheduling_preferences enable row level security;
revoke all on table public.scheduling_preferences from public, anon, authenticated, service_role;
grant select, delete, insert (
  professional_id, slot_interval_minutes, min_notice_minutes, horizon_days, buffer_before_minutes, buffer_after_minutes,
  daily_limit, crisis_24_7, request_hold_hours
), update (
  professional_id, slot_interval_minutes, min_notice_minutes, horizon_days, buffer_before_minutes, buffer_after_minutes,
  daily_limit, crisis_24_7, request_hold_hours
) on table public.scheduling_preferences to authenticated;
grant select, insert, update, delete on table public.scheduling_preferences to service_role;

create policy select_own on public.scheduling_preferences
for select to authenticated
using (professional_id = (select auth.uid()));
comment on policy select_own on public.scheduling_preferences is 'For their owner only; others see free slots.';

create policy insert_own on public.scheduling_preferences
for insert to authenticated
with check (professional_id = (select auth.uid()));
comment on policy insert_own on public.scheduling_preferences is 'For oneself only.';

create policy update_own on public.scheduling_preferences
for update to authenticated
using (professional_id = (select auth.uid()))
with check (professional_id = (select auth.uid()));
comment on policy update_own on public.scheduling_preferences is 'For oneself only.';

create policy delete_own on public.scheduling_preferences
for delete to authenticated
using (professional_id = (select auth.uid()));
comment on policy delete_own on public.scheduling_preferences is 'For oneself only; the defaults come back.';
