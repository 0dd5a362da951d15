-- Credentials of a disconnected calendar are forgotten as soon as its job has ended, well or not.
--
-- Called by: update on private.outbox_jobs, whichever function ends the job. Definer: the table is private.

create or replace function private.tg_outbox_jobs__forget_retirement()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  delete from private.calendar_retirements as r where r.job_id = new.id;
  return null;
end;
$$;
comment on function private.tg_outbox_jobs__forget_retirement() is 'Definer: the table is private. Deletes what a job of kind calendar_disconnect needed.';
revoke all on function private.tg_outbox_jobs__forget_retirement() from public, anon, authenticated, service_role;

create trigger _500_forget_retirement
after update of finished_at on private.outbox_jobs
for each row
when (new.kind = 'calendar_disconnect' and new.state in ('done', 'dead'))
execute function private.tg_outbox_jobs__forget_retirement();
