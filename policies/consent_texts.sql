-- The words are for everybody to read before they consent; operators write them.

alter table public.consent_texts enable row level security;
revoke all on table public.consent_texts from public, anon, authenticated, service_role;
grant select on table public.consent_texts to anon, authenticated;
grant select, insert on table public.consent_texts to service_role;

create policy select_all on public.consent_texts
for select to anon, authenticated
using (true);
comment on policy select_all on public.consent_texts is 'Published words; nothing about anybody.';
