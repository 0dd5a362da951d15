-- The calendar events that stand in Google calendars.
--
-- Read by: the owner of the connection, through the policy of public.calendar_events. Locks: none.

create or replace view public.google_calendar_events
with (security_invoker = true)
as
select e.appointment_id, e.connection_id, e.provider, e.external_event_id, e.etag, e.synced_sequence, e.sync_status,
  e.last_error, e.created_at
from public.calendar_events as e
where e.provider = 'google';
comment on view public.google_calendar_events is 'Those rows of calendar_events whose provider is google.';
comment on column public.google_calendar_events.appointment_id is 'The appointment.';
comment on column public.google_calendar_events.connection_id is 'The calendar.';
comment on column public.google_calendar_events.provider is 'google.';
comment on column public.google_calendar_events.external_event_id is 'The provider''s name of the event.';
comment on column public.google_calendar_events.etag is 'The provider''s version of it.';
comment on column public.google_calendar_events.synced_sequence is 'The appointment''s sequence that stands there.';
comment on column public.google_calendar_events.sync_status is 'pending, synced, removed, failed or dismissed.';
comment on column public.google_calendar_events.last_error is 'Symbol of the last failure.';
comment on column public.google_calendar_events.created_at is 'When the row was made.';
