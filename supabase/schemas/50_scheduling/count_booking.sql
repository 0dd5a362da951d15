-- Counts a booking against the professional, the requester and the mail address, and refuses one too many.
--
-- Called by book_appointment when nothing else stands in the way; what is refused rolls its counts back. The keys are
-- hashes under a secret, so that the table names nobody. Locks: the counters, in this order, after the professional.

create or replace function private.count_booking(professional_id uuid, user_id uuid, mail text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_settings private.booking_settings;
  v_requester text := coalesce('user:' || user_id, 'address:' || private.visitor_address());
  v_counted record;
  v_bookings integer;
begin
  select s.* into v_settings from private.booking_settings as s;
  for v_counted in
    select extensions.hmac(convert_to(c.name, 'UTF8'), v_settings.hash_key, 'sha256') as key_hash, c.most, c.span
    from (values
      (1, 'professional:' || professional_id, v_settings.professional_hourly, interval '1 hour'),
      (2, v_requester, v_settings.requester_hourly, interval '1 hour'),
      (3, 'mail:' || lower(mail), v_settings.mail_daily, interval '24 hours')
    ) as c (place, name, most, span)
    where c.name is not null
    order by c.place
  loop
    insert into private.booking_counters as b (key_hash, window_ends_at, bookings)
    values (v_counted.key_hash, private.clock() + v_counted.span, 1)
    on conflict (key_hash) do update
    set bookings = case when b.window_ends_at <= private.clock() then 1 else b.bookings + 1 end,
      window_ends_at = case when b.window_ends_at <= private.clock() then excluded.window_ends_at else b.window_ends_at end
    returning b.bookings into v_bookings;
    if v_bookings > v_counted.most then
      perform private.raise_error('too_many_requests');
    end if;
  end loop;
end;
$$;
comment on function private.count_booking(uuid, uuid, text) is 'Raises too_many_requests when a limit of private.booking_settings is passed.';
revoke all on function private.count_booking(uuid, uuid, text) from public, anon, authenticated, service_role;
