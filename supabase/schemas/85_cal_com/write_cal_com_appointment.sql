-- Writes the appointment of a Cal.com booking that has its place, and who comes.
--
-- Called by place_cal_com_booking, under the professional's lock. Cal.com decides when; a request that the professional
-- has confirmed here stays confirmed, unless the booking was moved to a new request.

create or replace function private.write_cal_com_appointment(
  booking private.cal_com_bookings, appointment public.appointments, minutes integer, is_handed_over boolean
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_details jsonb := coalesce(booking.details, '{}'::jsonb);
  v_appointment_id uuid := appointment.appointment_id;
begin
  if v_appointment_id is null then
    insert into public.appointments (
      professional_id, appointment_date, duration_minutes, appointment_type, status, created_via, meeting_url, location,
      time_zone, updated_at
    )
    select p.id, booking.starts_at, minutes, coalesce(v_details ->> 'type', 'consultation'),
      booking.state::public.appointment_status, 'cal_com', v_details ->> 'meeting_url', v_details ->> 'location', p.time_zone,
      private.clock()
    from public.professionals as p
    where p.id = booking.professional_id
    returning appointments.appointment_id into v_appointment_id;
    update private.cal_com_bookings as b set appointment_id = v_appointment_id where b.id = booking.id;
  else
    update public.appointments as a
    set appointment_date = booking.starts_at,
      duration_minutes = minutes,
      status = case
        when booking.state = 'confirmed' or is_handed_over then booking.state::public.appointment_status
        else a.status
      end,
      -- Without details the event that changed something else: what is known stays.
      appointment_type = coalesce(v_details ->> 'type', a.appointment_type),
      meeting_url = case when booking.details is null then a.meeting_url else v_details ->> 'meeting_url' end,
      location = case when booking.details is null then a.location else v_details ->> 'location' end
    where a.appointment_id = v_appointment_id;
  end if;

  if booking.details is not null then
    insert into public.appointment_clients as c (
      appointment_id, client_name, client_email, client_phone, message, locale, time_zone
    )
    values (
      v_appointment_id, coalesce(v_details ->> 'name', v_details ->> 'email', 'Cal.com'), v_details ->> 'email',
      v_details ->> 'phone', v_details ->> 'message', coalesce(v_details ->> 'locale', 'en'),
      coalesce(v_details ->> 'time_zone', 'UTC')
    )
    on conflict on constraint appointment_clients_pkey do update
    set client_name = excluded.client_name, client_email = excluded.client_email, client_phone = excluded.client_phone,
      message = excluded.message, locale = excluded.locale, time_zone = excluded.time_zone;
  end if;
  if booking.is_no_show then
    update public.appointments as a
    set status = 'no_show'
    where a.appointment_id = v_appointment_id and a.status = 'confirmed';
  end if;
end;
$$;
comment on function private.write_cal_com_appointment(private.cal_com_bookings, public.appointments, integer, boolean) is 'Makes or changes the appointment of a booking, and its client.';
revoke all on function private.write_cal_com_appointment(private.cal_com_bookings, public.appointments, integer, boolean)
  from public, anon, authenticated, service_role;
