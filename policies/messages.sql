-- The two parties of an accepted case read and write; the reader marks as read. Nobody changes or deletes a message.

alter table public.messages enable row level security;
revoke all on table public.messages from public, anon, authenticated, service_role;
grant select, insert (id, matched_services, sender_id, body), update (read_at) on table public.messages to authenticated;

create policy select_parties on public.messages
for select to authenticated
using (matched_services = any ((select private.readable_cases())::uuid[]));
comment on policy select_parties on public.messages is 'The survivor, and the professional while they have access to the case.';

create policy insert_own on public.messages
for insert to authenticated
with check (sender_id = (select auth.uid()));
comment on policy insert_own on public.messages is 'As oneself; the trigger lets in only parties of an open case, within limits.';

create policy update_reader on public.messages
for update to authenticated
using (sender_id <> (select auth.uid()) and matched_services = any ((select private.readable_cases())::uuid[]))
with check (sender_id <> (select auth.uid()));
comment on policy update_reader on public.messages is 'Who received it marks it as read; the column grant allows nothing else.';
