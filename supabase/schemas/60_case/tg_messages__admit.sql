-- Lets a message in: the sender is a party of an open case, the text is short, and not too many came before it.
--
-- Called by: insert on public.messages. Definer: it reads the report's state. Somebody else's case and a missing one are
-- the same answer. Locks: the sender's counter (advisory), then the report, shared, against its withdrawal.

create or replace function private.tg_messages__admit()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_match public.matched_services;
  v_status public.report_status;
  v_settings private.conversation_settings;
begin
  if new.body is null or new.body !~ '[^[:space:]]' or length(new.body) > 4000 then
    perform private.raise_error('invalid_input', 'body: 1 to 4000 characters.');
  end if;
  select m.* into v_match
  from public.matched_services as m
  join public.reports as r on r.report_id = m.report_id
  where m.id = new.matched_services and new.sender_id in (m.professional_id, r.user_id)
    and new.sender_id = coalesce(auth.uid(), new.sender_id)
    -- To a survivor, an offer that nobody accepted does not exist.
    and (
      m.professional_id = new.sender_id or m.match_status_type in ('accepted', 'completed')
      or (m.match_status_type = 'withdrawn' and m.responded_at is not null)
    );
  if not found then
    perform private.raise_error('not_found');
  end if;
  perform pg_advisory_xact_lock(hashtextextended('sauti.messages:' || new.sender_id, 0));
  select r.status into v_status from public.reports as r where r.report_id = v_match.report_id for share;
  select m.* into v_match from public.matched_services as m where m.id = v_match.id;
  if v_status = 'withdrawn' then
    perform private.raise_error('report_withdrawn');
  elsif v_match.match_status_type is distinct from 'accepted' then
    perform private.raise_error('case_not_open', 'The conversation is open while the case is.');
  end if;
  select s.* into v_settings from private.conversation_settings as s;
  if (
    select count(*) >= v_settings.messages_per_hour
      or count(*) filter (where m.created_at > private.clock() - interval '1 minute') >= v_settings.messages_per_minute
    from public.messages as m
    where m.sender_id = new.sender_id and m.created_at > private.clock() - interval '1 hour'
  ) then
    perform private.raise_error('too_many_requests', 'Too many messages.', 'Wait a minute before writing again.');
  end if;
  new.read_at := null;
  new.created_at := private.clock();
  return new;
end;
$$;
comment on function private.tg_messages__admit() is 'Definer: reads the state of the case. Raises not_found, case_not_open, report_withdrawn, invalid_input or too_many_requests.';
revoke all on function private.tg_messages__admit() from public, anon, authenticated, service_role;

create trigger _100_admit
before insert on public.messages
for each row execute function private.tg_messages__admit();
