-- A short, speakable code for a case, such as LUMO-KITA-42.
--
-- Called by the default of reports.case_code. Random from a cryptographic source: a code must not tell the order or
-- number of cases. Fourteen consonants and five vowels: two billion codes. Locks: none.

create or replace function private.new_case_code()
returns text
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_bytes bytea := extensions.gen_random_bytes(9);
  v_code text := '';
begin
  for i in 0..3 loop
    v_code := v_code
      || substr('BDFGHKLMNPRSTZ', 1 + get_byte(v_bytes, 2 * i) % 14, 1)
      || substr('AEIOU', 1 + get_byte(v_bytes, 2 * i + 1) % 5, 1)
      || case i when 1 then '-' else '' end;
  end loop;
  return v_code || '-' || lpad((get_byte(v_bytes, 8) % 100)::text, 2, '0');
end;
$$;
comment on function private.new_case_code() is 'A random speakable code: two syllables, two syllables, two digits.';
revoke all on function private.new_case_code() from public, anon, authenticated, service_role;
grant execute on function private.new_case_code() to authenticated, service_role;
