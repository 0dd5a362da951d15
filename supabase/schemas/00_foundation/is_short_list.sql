-- Whether a text array is small and clean: no nulls, no empty or long members, one dimension.
--
-- Called by check constraints on languages, specialisations and needs. Locks: none.

create or replace function private.is_short_list(items text[], max_items integer, max_length integer)
returns boolean
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
begin
  return coalesce(array_ndims(items), 1) = 1
    and cardinality(items) <= max_items
    and not exists (
      select 1
      from unnest(items) as item
      where item is null or item !~ '^[^[:cntrl:]]+$' or length(item) > max_length
    );
end;
$$;
comment on function private.is_short_list(text[], integer, integer) is 'True when the array has at most max_items members, each of 1 to max_length characters without control characters.';
revoke all on function private.is_short_list(text[], integer, integer) from public, anon, authenticated, service_role;
grant execute on function private.is_short_list(text[], integer, integer) to anon, authenticated, service_role;
