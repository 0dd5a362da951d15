-- A place as a point on the unit sphere, on which a cube index finds the nearest.
--
-- Called by refresh_matching_lanes and best_candidates. Straight (chord) distance between two such points grows with
-- the distance over ground, so ordering by it is ordering by kilometres. Locks: none.

create or replace function private.sphere_point(latitude double precision, longitude double precision)
returns extensions.cube
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
begin
  return extensions.cube(array[
    cos(radians(latitude)) * cos(radians(longitude)),
    cos(radians(latitude)) * sin(radians(longitude)),
    sin(radians(latitude))
  ]);
end;
$$;
comment on function private.sphere_point(double precision, double precision) is 'Degrees north and east → point on the unit sphere; null when either is null.';
revoke all on function private.sphere_point(double precision, double precision) from public, anon, authenticated, service_role;
