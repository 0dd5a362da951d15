-- The survivor reads who opened the reports, through the view public.access_log; nobody writes but the doors.

alter table private.access_log_entries enable row level security;
revoke all on table private.access_log_entries from public, anon, authenticated, service_role;
revoke all on table public.access_log from public, anon, authenticated, service_role;
grant select on table private.access_log_entries to authenticated;
grant select on table public.access_log to authenticated;

create policy select_own on private.access_log_entries
for select to authenticated
using (survivor_id = (select auth.uid()));
comment on policy select_own on private.access_log_entries is 'The survivor whose report was opened.';
