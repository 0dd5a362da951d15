-- What a hosted project's database holds before the first migration, apart from `auth` and `realtime`.
--
-- Run by the superuser in each new database: cluster-wide roles are made by 10_roles.sql.

do $$ begin
  execute format('grant all on database %I to postgres', current_database());
  execute format('alter database %I set pgrst.db_schemas = %L', current_database(), 'public');
  -- The password of the development cast in seeds/; a hosted project has no such setting.
  execute format('alter database %I set sauti.seed_password = %L', current_database(), 'sauti-local');
end $$;

alter schema public owner to pg_database_owner;
grant all on schema public to postgres;
grant usage on schema public to anon, authenticated, service_role;

create schema extensions authorization postgres;
grant usage on schema extensions to anon, authenticated, service_role;
grant all on schema extensions to dashboard_user;
create extension pgcrypto with schema extensions;
create extension "uuid-ossp" with schema extensions;

create schema auth authorization supabase_admin;
grant usage on schema auth to anon, authenticated, service_role;
grant all on schema auth to supabase_auth_admin, dashboard_user, postgres;

create schema storage authorization supabase_storage_admin;
grant usage on schema storage to postgres, anon, authenticated, service_role;

create schema realtime authorization supabase_admin;
grant usage on schema realtime to postgres, anon, authenticated, service_role;

-- The publication that `postgres_changes` reads; migrations add tables to it.
create publication supabase_realtime;
alter publication supabase_realtime owner to postgres;
