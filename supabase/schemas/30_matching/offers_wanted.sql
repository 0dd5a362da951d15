-- How many offers a required service gets at its urgency.
--
-- Called by matching and the response clock. Locks: none.

create or replace function private.offers_wanted(urgency public.urgency_level)
returns integer
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select case urgency when 'high' then s.offers_high when 'medium' then s.offers_medium else s.offers_low end
    from private.matching_settings as s
  );
end;
$$;
comment on function private.offers_wanted(public.urgency_level) is 'Offers per required service, from private.matching_settings.';
revoke all on function private.offers_wanted(public.urgency_level) from public, anon, authenticated, service_role;
