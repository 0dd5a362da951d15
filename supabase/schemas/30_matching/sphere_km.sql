-- Kilometres over ground for a chord of the unit sphere.
--
-- Called by best_candidates. Locks: none.

create or replace function private.sphere_km(chord double precision)
returns double precision
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
begin
  return 2 * 6371.0088 * asin(least(1, chord / 2));
end;
$$;
comment on function private.sphere_km(double precision) is 'Chord of the unit sphere (0 to 2) → kilometres along the ground, mean Earth radius.';
revoke all on function private.sphere_km(double precision) from public, anon, authenticated, service_role;
