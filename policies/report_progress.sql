-- The survivor's own view; the tables' policies do the rest.

revoke all on table public.report_progress from public, anon, authenticated, service_role;
grant select on table public.report_progress to authenticated;
