-- A request holds its time for as long as its professional allows, and no longer than until it would begin.
--
-- Called by: insert and update on public.appointments. Bookings of Cal.com wait there, not here. Locks: none.

create or replace function private.tg_appointments__hold_request()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  new.held_until := case when new.status = 'requested' and new.created_via <> 'cal_com' then least(
    private.clock() + make_interval(hours => coalesce(
      (select s.request_hold_hours from public.scheduling_preferences as s where s.professional_id = new.professional_id), 48
    )),
    new.appointment_date
  ) end;
  return new;
end;
$$;
comment on function private.tg_appointments__hold_request() is 'Sets held_until when an appointment becomes a request or a request is moved; else clears it.';
revoke all on function private.tg_appointments__hold_request() from public, anon, authenticated, service_role;

create trigger _200_hold_request
before insert or update of status, appointment_date on public.appointments
for each row
when (new.status = 'requested' or new.held_until is not null)
execute function private.tg_appointments__hold_request();
