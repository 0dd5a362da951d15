-- Who may join a private topic: a user their own, the worker the doorbell. Nobody sends.

create policy select_own_topic on realtime.messages
for select to authenticated
using (extension = 'broadcast' and (select realtime.topic()) = 'user:' || (select auth.uid()));
comment on policy select_own_topic on realtime.messages is 'Live events carry ids and states only, and reach the one user whose topic it is.';

create policy select_doorbell on realtime.messages
for select to service_role
using ((select realtime.topic()) = 'sauti_sync');
comment on policy select_doorbell on realtime.messages is 'The worker hears that there are jobs.';
