-- Whether the professional of an offer may still open its case: while it is accepted, and for a time after its end.
--
-- Called by the door to the story and by what stands behind it. The grace time is a setting of retention. Locks: none.

create or replace function private.has_case_access(match public.matched_services)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return match.match_status_type = 'accepted' or (
    match.match_status_type = 'completed' and match.closed_at + (
      select s.keep from private.retention_settings as s where s.data_class = 'case_access'
    ) > private.clock()
  );
end;
$$;
comment on function private.has_case_access(public.matched_services) is 'True for an accepted offer, and for a completed one until retention setting case_access has passed.';
revoke all on function private.has_case_access(public.matched_services) from public, anon, authenticated, service_role;
