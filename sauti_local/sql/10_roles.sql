-- Roles, schemas, extensions and default privileges of a hosted Supabase project.
--
-- Run once by the superuser `supabase_admin` on an empty cluster and database. Whatever is laxer here than on a
-- hosted project would hide a real failure, so every grant below mirrors one that a hosted project has.

create role postgres with login nosuperuser createdb createrole replication bypassrls password 'postgres';
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator with login noinherit password 'postgres';
grant anon, authenticated, service_role to authenticator;

create role supabase_auth_admin with login noinherit createrole password 'postgres';
create role supabase_realtime_admin nologin noinherit;
create role supabase_storage_admin with login noinherit createrole password 'postgres';
create role dashboard_user nologin createdb createrole replication;

grant anon, authenticated, service_role to postgres with admin option;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_admin set search_path = "$user", public, auth, extensions;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_auth_admin set idle_in_transaction_session_timeout = '60s';
