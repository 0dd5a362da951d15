-- Who asks and whose consent it needs; the colleague knows their offer and no more. Functions write.

alter table public.hand_overs enable row level security;
revoke all on table public.hand_overs from public, anon, authenticated, service_role;
grant select on table public.hand_overs to authenticated;

create policy select_parties on public.hand_overs
for select to authenticated
using (survivor_id = (select auth.uid()) or from_professional_id = (select auth.uid()));
comment on policy select_parties on public.hand_overs is 'The survivor and the professional who asked.';
