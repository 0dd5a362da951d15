-- Who opened what of my reports: the survivor's own view of the log.
--
-- Read by: the survivor, through the policy of private.access_log_entries. Locks: none.

create or replace view public.access_log
with (security_invoker = true)
as
select e.id, e.report_id, e.match_id, e.actor_id, e.actor_role, e.door, e.reason, e.opened_at
from private.access_log_entries as e;
comment on view public.access_log is 'Who opened my reports, when, through which door and why. Own reports only.';
comment on column public.access_log.id is 'Key, in the order of opening.';
comment on column public.access_log.report_id is 'What was opened.';
comment on column public.access_log.match_id is 'The accepted offer through which it was opened.';
comment on column public.access_log.actor_id is 'Who opened it.';
comment on column public.access_log.actor_role is 'professional or admin.';
comment on column public.access_log.door is 'open_case or break_glass.';
comment on column public.access_log.reason is 'Why, for break_glass.';
comment on column public.access_log.opened_at is 'When.';
