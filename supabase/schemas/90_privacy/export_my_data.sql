-- Everything held about the caller, as one document.
--
-- Called by any user; each export stands in the ledger. Definer: part of it is in private tables. Left out: credentials and
-- hashes of tokens, and what belongs to somebody else alone (a professional's notes, another survivor's story). Locks:
-- none.

create or replace function private.export_my_data()
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_cases uuid[];
begin
  perform private.record_audit('data_exported', v_user_id, v_user_id);
  v_cases := private.readable_cases();
  return jsonb_build_object(
    'exported_at', private.clock(),
    'account', (
      select jsonb_build_object(
        'id', u.id, 'email', u.email, 'phone', u.phone, 'created_at', u.created_at, 'last_sign_in_at', u.last_sign_in_at,
        'user_metadata', u.raw_user_meta_data
      )
      from auth.users as u
      where u.id = v_user_id
    ),
    'profile', (select to_jsonb(p) from public.profiles as p where p.id = v_user_id),
    'professional', (select to_jsonb(p) from public.professionals as p where p.id = v_user_id),
    'support_services', (select coalesce(jsonb_agg(s), '[]') from public.support_services as s where s.professional_id = v_user_id),
    'verification_documents', (
      select coalesce(jsonb_agg(d), '[]') from public.verification_documents as d where d.professional_id = v_user_id
    ),
    'verification_decisions', (
      select coalesce(jsonb_agg(to_jsonb(d) - 'decided_by'), '[]')
      from public.verification_decisions as d
      where d.professional_id = v_user_id
    ),
    'reports', (select coalesce(jsonb_agg(r), '[]') from public.reports as r where r.user_id = v_user_id),
    'consents', (select coalesce(jsonb_agg(c), '[]') from public.consents as c where c.user_id = v_user_id),
    'blocked_professionals', (
      select coalesce(jsonb_agg(b), '[]') from public.blocked_professionals as b where b.survivor_id = v_user_id
    ),
    'matched_services', (
      select coalesce(jsonb_agg(m), '[]')
      from public.matched_services as m
      where m.professional_id = v_user_id or m.id = any (v_cases)
    ),
    'hand_overs', (
      select coalesce(jsonb_agg(h), '[]')
      from public.hand_overs as h
      where v_user_id in (h.survivor_id, h.from_professional_id)
    ),
    'appointments', (
      select coalesce(jsonb_agg(a), '[]') from public.appointments as a where v_user_id in (a.professional_id, a.survivor_id)
    ),
    'bookings', (
      select coalesce(jsonb_agg(c), '[]')
      from public.appointments as a
      join public.appointment_clients as c on c.appointment_id = a.appointment_id
      where a.survivor_id = v_user_id
    ),
    'availability', jsonb_build_object(
      'rules', (select coalesce(jsonb_agg(x), '[]') from public.availability_rules as x where x.professional_id = v_user_id),
      'exceptions', (
        select coalesce(jsonb_agg(x), '[]') from public.availability_exceptions as x where x.professional_id = v_user_id
      ),
      'preferences', (select to_jsonb(x) from public.scheduling_preferences as x where x.professional_id = v_user_id),
      'appointment_types', (
        select coalesce(jsonb_agg(x), '[]') from public.appointment_types as x where x.professional_id = v_user_id
      ),
      'busy', (select coalesce(jsonb_agg(x), '[]') from public.calendar_busy as x where x.professional_id = v_user_id)
    ),
    'messages', (
      select coalesce(jsonb_agg(w order by w.created_at), '[]')
      from public.messages as w
      where w.sender_id = v_user_id or w.matched_services = any (v_cases)
    ),
    'case_notes', (
      select coalesce(jsonb_agg(n), '[]')
      from public.case_notes as n
      where n.professional_id = v_user_id and n.matched_services = any (v_cases)
    ),
    'case_note_versions', (
      select coalesce(jsonb_agg(v), '[]')
      from public.case_notes as n
      join public.case_note_versions as v on v.note_id = n.id
      where n.professional_id = v_user_id and n.matched_services = any (v_cases)
    ),
    'undeliverable_addresses', (
      select coalesce(jsonb_agg(jsonb_build_object('created_at', u.created_at)), '[]')
      from private.undeliverable_addresses as u
      where u.user_id = v_user_id
    ),
    'notifications', (select coalesce(jsonb_agg(n), '[]') from public.notifications as n where n.user_id = v_user_id),
    'calendar_connections', (select coalesce(jsonb_agg(c), '[]') from public.calendar_connections as c where c.user_id = v_user_id),
    'calendar_events', (
      select coalesce(jsonb_agg(e), '[]')
      from public.calendar_connections as c
      join public.calendar_events as e on e.connection_id = c.id
      where c.user_id = v_user_id
    ),
    'cal_com', (select to_jsonb(c) from public.cal_com_connections as c where c.professional_id = v_user_id),
    'access_log', (
      select coalesce(jsonb_agg(to_jsonb(e) - 'survivor_id'), '[]')
      from private.access_log_entries as e
      where e.survivor_id = v_user_id
    ),
    'ledger', (
      select coalesce(jsonb_agg(
        jsonb_build_object(
          'event', e.event, 'occurred_at', e.occurred_at, 'facts', e.facts, 'by_me', e.actor_id = v_user_id,
          'detail', case when e.subject_id = v_user_id then e.detail end
        )
        order by e.id
      ), '[]')
      from private.audit_log as e
      where e.subject_id = v_user_id or e.actor_id = v_user_id
    )
  );
end;
$$;
comment on function private.export_my_data() is 'Definer: part of it is in private tables. Everything about the caller and nobody else''s secrets; written to the ledger.';
revoke all on function private.export_my_data() from public, anon, authenticated, service_role;
grant execute on function private.export_my_data() to authenticated;

create or replace function public.export_my_data()
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_user();
  return private.export_my_data();
end;
$$;
comment on function public.export_my_data() is 'Any user: everything held about the caller, by table. → jsonb. Errors: not_authenticated.';
revoke all on function public.export_my_data() from public, anon, authenticated, service_role;
grant execute on function public.export_my_data() to anon, authenticated;
