-- New offers are announced: a notification and a live event for each professional who is asked.
--
-- Called by: insert on public.matched_services, once per statement. Definer: notifications and realtime messages are
-- written for somebody else. Payloads hold ids and states only.

create or replace function private.tg_matched_services__notify_insert()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
begin
  perform private.broadcast(o.professional_id, 'match', 'INSERT', 'matched_services', o.id, o.match_status_type::text)
  from offered as o;
  insert into public.notifications (user_id, kind, matched_services, created_at)
  select o.professional_id, 'offer_made', o.id, v_now
  from offered as o
  where o.match_status_type = 'pending';
  return null;
end;
$$;
comment on function private.tg_matched_services__notify_insert() is 'Definer: writes notifications and live events for the professionals who are offered the case.';
revoke all on function private.tg_matched_services__notify_insert() from public, anon, authenticated, service_role;

create trigger _900_notify_insert
after insert on public.matched_services
referencing new table as offered
for each statement execute function private.tg_matched_services__notify_insert();
