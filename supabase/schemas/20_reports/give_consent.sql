-- Writes down what a survivor consents to, in the newest words.
--
-- Called by the triggers and functions that act on the consent, with the rights of those definers. A consent that
-- already holds is not written twice. Locks: none.

create or replace function private.give_consent(user_id uuid, report_id uuid, purposes text[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
begin
  insert into public.consents (user_id, report_id, purpose, text_version, given_at)
  select distinct on (t.purpose) give_consent.user_id, give_consent.report_id, t.purpose, t.version, v_now
  from public.consent_texts as t
  where t.purpose = any (purposes) and t.introduced_at <= v_now
  order by t.purpose, t.introduced_at desc, t.version desc
  on conflict do nothing;
end;
$$;
comment on function private.give_consent(uuid, uuid, text[]) is 'purposes: of share_report, share_location and hand_over.';
revoke all on function private.give_consent(uuid, uuid, text[]) from public, anon, authenticated, service_role;
