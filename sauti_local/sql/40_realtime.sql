-- Schema `realtime` of a hosted project, as far as a migration or a client can meet it.
--
-- Run by the superuser in each new database, after the roles and schemas. `postgres` may write policies on
-- `realtime.messages` and nothing else in here: a hosted project allows that by an extension (supautils), here membership
-- of the table's owner allows it and an event trigger takes back everything but policies.

grant usage on schema realtime to supabase_realtime_admin;
grant supabase_realtime_admin to postgres;

create table realtime.messages (
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  updated_at timestamp without time zone not null default now(),
  inserted_at timestamp without time zone not null default now(),
  id uuid not null default gen_random_uuid(),
  binary_payload bytea,
  primary key (id, inserted_at),
  constraint messages_payload_exclusive check (payload is null or binary_payload is null)
) partition by range (inserted_at);
comment on table realtime.messages is 'Broadcast and presence messages: rows are sent to the channel, policies authorise it.';

-- One partition for every day: a hosted project makes one a day, ahead of time; a stack that sleeps over midnight
-- would have none.
create table realtime.messages_default partition of realtime.messages default;

create index messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
  where extension = 'broadcast' and private is true;

alter table realtime.messages enable row level security;
alter table realtime.messages_default enable row level security;
alter table realtime.messages owner to supabase_realtime_admin;
alter table realtime.messages_default owner to supabase_realtime_admin;
grant select, insert, update on realtime.messages to postgres, anon, authenticated, service_role;
revoke delete, truncate, references, trigger on realtime.messages from supabase_realtime_admin;

create function realtime.topic() returns text
language sql stable
as $$ select nullif(current_setting('realtime.topic', true), '')::text $$;
comment on function realtime.topic() is 'The topic that a policy on realtime.messages is asked about, without its "realtime:".';

create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
language plpgsql
as $$
declare
  v_id uuid := gen_random_uuid();
begin
  perform set_config('realtime.topic', send.topic, true);
  insert into realtime.messages (id, payload, event, topic, private, extension)
  values (
    v_id,
    case when send.payload ? 'id' then send.payload else jsonb_set(send.payload, '{id}', to_jsonb(v_id)) end,
    send.event, send.topic, send.private, 'broadcast'
  );
exception when others then
  raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end $$;
comment on function realtime.send(jsonb, text, text, boolean)
  is 'Broadcasts an object at commit, as the caller under RLS. An error is a WARNING: the sender never fails.';

create function realtime.send_binary(payload bytea, event text, topic text, private boolean default true) returns void
language plpgsql
as $$
begin
  perform set_config('realtime.topic', send_binary.topic, true);
  insert into realtime.messages (binary_payload, event, topic, private, extension)
  values (send_binary.payload, send_binary.event, send_binary.topic, send_binary.private, 'broadcast');
exception when others then
  raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end $$;
comment on function realtime.send_binary(bytea, text, text, boolean)
  is 'Broadcasts bytes at commit, as the caller under RLS. An error is a WARNING: the sender never fails.';

create function realtime.broadcast_changes(
  topic_name text, event_name text, operation text, table_name text, table_schema text,
  new record, old record, level text default 'ROW'
) returns void
language plpgsql
as $$
begin
  if level = 'STATEMENT' then
    raise exception 'function can only be triggered for each row, not for each statement';
  elsif operation not in ('INSERT', 'UPDATE', 'DELETE') then
    raise exception 'Unexpected operation type: %', operation;
  end if;
  perform realtime.send(
    jsonb_build_object(
      'old_record', old, 'record', new, 'operation', operation, 'table', table_name, 'schema', table_schema
    ),
    event_name, topic_name
  );
exception when others then
  raise exception 'Failed to process the row: %', sqlerrm;
end $$;
comment on function realtime.broadcast_changes(text, text, text, text, text, record, record, text)
  is 'Broadcasts whole rows, old and new, to a private topic: not for anything personal.';

-- Broadcasts leave the database through this publication. Only inserts are messages.
create publication supabase_realtime_messages_publication for table realtime.messages
  with (publish = 'insert', publish_via_partition_root = true);

-- Membership of the owner allows more than a hosted project does, so refuse the rest: anything outside a policy.
create function realtime.refuse_foreign_ddl() returns event_trigger
language plpgsql
as $$
declare
  v_object text;
begin
  if (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
    return;
  end if;
  if tg_event = 'sql_drop' then
    select object_identity into v_object from pg_event_trigger_dropped_objects()
    where original and object_type <> 'policy'
      and (schema_name = 'realtime' or object_identity like '% on realtime.%') limit 1;
  else
    select object_identity into v_object from pg_event_trigger_ddl_commands()
    where object_type <> 'policy' and (schema_name = 'realtime' or object_identity like '% on realtime.%') limit 1;
  end if;
  if v_object is not null then
    raise insufficient_privilege using message = format('must be owner of %s', v_object);
  end if;
end $$;

create event trigger realtime_refuse_ddl on ddl_command_end
  when tag in ('ALTER TABLE', 'CREATE INDEX', 'CREATE TRIGGER', 'CREATE RULE', 'COMMENT')
  execute function realtime.refuse_foreign_ddl();
create event trigger realtime_refuse_drop on sql_drop execute function realtime.refuse_foreign_ddl();
