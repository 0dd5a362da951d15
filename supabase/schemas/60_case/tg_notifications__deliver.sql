-- A notification rings the person's apps, and a job for its message is queued in the same transaction.
--
-- Called by: insert on public.notifications, once per statement. Definer: it writes the outbox. Whether the
-- message may really go, by which channel and where, is decided when it is sent (job_context); the kind chosen here
-- only spares a detour. An urgent offer goes first.

create or replace function private.tg_notifications__deliver()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
begin
  perform private.broadcast(n.user_id, 'notification', 'INSERT', 'notifications', n.id, n.kind)
  from delivered as n;
  insert into private.outbox_jobs (kind, dedupe_key, priority, notification_id, run_at)
  select case when r.user_id = n.user_id and r.contact_preference = 'sms' and r.contact_phone is not null then 'sms' else 'mail' end,
    'mail:' || n.id,
    case when m.urgency = 'high' and n.kind in ('offer_made', 'offer_reminder') then 10 else 50 end,
    n.id, v_now
  from delivered as n
  -- One row looked up for each, whatever was known of the tables' sizes when this was planned: hashing reads them whole.
  left join lateral (
    select o.report_id, o.urgency from public.matched_services as o where o.id = n.matched_services limit 1
  ) as m on true
  left join lateral (
    select f.user_id, f.contact_preference, f.contact_phone
    from public.reports as f where f.report_id = coalesce(m.report_id, n.report_id) limit 1
  ) as r on true;
  return null;
end;
$$;
comment on function private.tg_notifications__deliver() is 'Definer: the outbox is private. Sends the live event and queues the message.';
revoke all on function private.tg_notifications__deliver() from public, anon, authenticated, service_role;

create trigger _900_deliver
after insert on public.notifications
referencing new table as delivered
for each statement execute function private.tg_notifications__deliver();
