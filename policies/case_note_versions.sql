-- What a note said before: its author only, and nobody writes but the trigger.

alter table public.case_note_versions enable row level security;
revoke all on table public.case_note_versions from public, anon, authenticated, service_role;
grant select on table public.case_note_versions to authenticated;

create policy select_author on public.case_note_versions
for select to authenticated
using (
  professional_id = (select auth.uid())
  and note_id = any (array(select n.id from public.case_notes as n where n.professional_id = (select auth.uid())))
);
comment on policy select_author on public.case_note_versions is 'The author of the note, as long as they read the note itself.';
