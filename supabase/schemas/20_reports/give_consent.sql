-- Writes down that a survivor consents, in the newest words.
--
-- Called by the triggers and functions that act on the consent, with the rights of those definers. A consent that
-- already holds is not written twice. Locks: none.

create or replace function private.give_consent(user_id uuid, report_id uuid, purpose text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  insert into public.consents (user_id, report_id, purpose, text_version, given_at)
  select give_consent.user_id, give_consent.report_id, t.purpose, t.version, private.clock()
  from public.consent_texts as t
  where t.purpose = give_consent.purpose and t.introduced_at <= private.clock()
  order by t.introduced_at desc, t.version desc
  limit 1
  on conflict do nothing;
end;
$$;
comment on function private.give_consent(uuid, uuid, text) is 'purpose: share_report, share_location or hand_over.';
revoke all on function private.give_consent(uuid, uuid, text) from public, anon, authenticated, service_role;
