-- The chord of the unit sphere that spans a distance over ground: the inverse of sphere_km.
--
-- Called by refresh_matching_lanes. Beyond half the globe everything is in reach. Locks: none.

create or replace function private.sphere_chord(kilometres double precision)
returns double precision
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
begin
  return 2 * sin(least(kilometres / (2 * 6371.0088), pi() / 2));
end;
$$;
comment on function private.sphere_chord(double precision) is 'Kilometres over ground → chord of the unit sphere, at most 2.';
revoke all on function private.sphere_chord(double precision) from public, anon, authenticated, service_role;
