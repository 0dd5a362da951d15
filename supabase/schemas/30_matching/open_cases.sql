-- How many cases of a service are open: accepted, and not yet marked complete by the professional.
--
-- Called by refresh_matching_lanes. The professional's mark alone frees the capacity. Locks: none.

create or replace function private.open_cases(service_id uuid)
returns integer
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select count(*)::integer
    from public.matched_services as m
    where m.service_id = open_cases.service_id
      and m.match_status_type = 'accepted'
      and m.professional_completed_at is null
  );
end;
$$;
comment on function private.open_cases(uuid) is 'Number of accepted offers of the service that its professional has not completed.';
revoke all on function private.open_cases(uuid) from public, anon, authenticated, service_role;
