-- Both sides' apps hear of each change of an offer.
--
-- Called by: update on public.matched_services. Definer: realtime messages are written for somebody else. Payloads hold
-- ids and states only.

create or replace function private.tg_matched_services__notify_update()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform private.broadcast(new.professional_id, 'match', 'UPDATE', 'matched_services', new.id, new.match_status_type::text);
  -- A survivor sees accepted and completed offers only, and hears of no other.
  if new.match_status_type in ('accepted', 'completed') or old.match_status_type = 'accepted' then
    perform private.broadcast(r.user_id, 'match', 'UPDATE', 'matched_services', new.id, new.match_status_type::text)
    from public.reports as r
    where r.report_id = new.report_id;
  end if;
  return null;
end;
$$;
comment on function private.tg_matched_services__notify_update() is 'Definer: writes live events for both sides of an offer that changes.';
revoke all on function private.tg_matched_services__notify_update() from public, anon, authenticated, service_role;

create trigger _900_notify_update
after update on public.matched_services
for each row
when (
  old.match_status_type <> new.match_status_type
  or old.professional_completed_at is distinct from new.professional_completed_at
  or old.survivor_completed_at is distinct from new.survivor_completed_at
)
execute function private.tg_matched_services__notify_update();
