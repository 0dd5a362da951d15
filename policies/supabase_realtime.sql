-- What `postgres_changes` carries, under the policies of each table.

alter publication supabase_realtime add table public.matched_services, public.appointments, public.notifications, public.messages;
