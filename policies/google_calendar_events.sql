-- The owner of the calendar; the table's policy does the rest.

revoke all on table public.google_calendar_events from public, anon, authenticated, service_role;
grant select on table public.google_calendar_events to authenticated, service_role;
