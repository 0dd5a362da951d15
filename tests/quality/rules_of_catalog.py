"""The conventions that only the built database can tell, one query per rule.

A rule's query gives the objects that break it, one text per row. ``breach`` is SQL that breaks this rule: run as
``postgres`` inside a transaction that is rolled back, it must make the query give ``culprit``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """``promise`` says what holds; ``query`` finds what breaks it; ``breach`` and ``culprit`` prove that it can."""

    promise: str
    query: str
    breach: str
    culprit: str


OURS = "('public', 'private')"
# A table that keeps every rule, for breaches to spoil.
THINGS = """
create table public.things (
  id uuid primary key,
  owner_id uuid not null references public.profiles (id),
  label text constraint things_label_length check (length(label) <= 10),
  created_at timestamptz not null default now()
);
create index things_owner_id_idx on public.things (owner_id);
alter table public.things enable row level security;
comment on table public.things is 'Things.';
comment on column public.things.id is 'Key.';
comment on column public.things.owner_id is 'Owner.';
comment on column public.things.label is 'Label.';
comment on column public.things.created_at is 'When.';
create policy select_own on public.things for select to authenticated using (owner_id = (select auth.uid()));
comment on policy select_own on public.things is 'Own rows.';
create function public.count_things() returns bigint language sql stable security invoker set search_path = ''
as $$ select count(*) from public.things $$;
comment on function public.count_things() is 'How many.';
revoke all on function public.count_things() from public;
create view public.thing_labels with (security_invoker = true) as select label from public.things;
comment on view public.thing_labels is 'Labels.';
comment on column public.thing_labels.label is 'Label.';
"""

RULES: dict[str, Rule] = {
    "relations_have_comments": Rule(
        "Every table and view has a comment.",
        f"""
        select format('%I.%I', n.nspname, c.relname)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in {OURS} and c.relkind in ('r', 'p', 'v', 'm') and obj_description(c.oid, 'pg_class') is null
        """,
        "comment on table public.things is null",
        "public.things",
    ),
    "columns_have_comments": Rule(
        "Every column of a table or view has a comment.",
        f"""
        select format('%I.%I.%I', n.nspname, c.relname, a.attname)
        from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in {OURS} and c.relkind in ('r', 'p', 'v', 'm') and a.attnum > 0 and not a.attisdropped
          and col_description(c.oid, a.attnum) is null
        """,
        "comment on column public.thing_labels.label is null",
        "public.thing_labels.label",
    ),
    "functions_have_comments": Rule(
        "Every function has a comment.",
        f"""
        select format('%s', p.oid::regprocedure)
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in {OURS} and obj_description(p.oid, 'pg_proc') is null
        """,
        "comment on function public.count_things() is null",
        "count_things()",
    ),
    "definers_say_why": Rule(
        "The comment of a security definer function begins with `Definer:` and the reason.",
        """
        select format('%s', p.oid::regprocedure)
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'private' and p.prosecdef and obj_description(p.oid, 'pg_proc') !~ '^Definer: '
        """,
        """
        create function private.f() returns int language sql stable security definer set search_path = ''
        as 'select 1'; comment on function private.f() is 'One.'
        """,
        "private.f()",
    ),
    "policies_have_comments": Rule(
        "Every policy has a comment: the reason that docs/access.md prints.",
        """
        select format('%I on %s', p.polname, p.polrelid::regclass)
        from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('public', 'private', 'realtime') and obj_description(p.oid, 'pg_policy') is null
        """,
        "comment on policy select_own on public.things is null",
        "select_own on things",
    ),
    "types_have_comments": Rule(
        "Every enumeration, domain and composite type has a comment.",
        f"""
        select format('%s', t.oid::regtype)
        from pg_type t join pg_namespace n on n.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
        where n.nspname in {OURS} and (t.typtype in ('e', 'd') or c.relkind = 'c')
          and obj_description(t.oid, 'pg_type') is null
        """,
        "create type public.mood as enum ('good')",
        "mood",
    ),
    "tables_have_rls": Rule(
        "Row level security is on for every public table.",
        """
        select format('%s', c.oid::regclass)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relrowsecurity
        """,
        "alter table public.things disable row level security",
        "things",
    ),
    "tables_have_primary_keys": Rule(
        "Every table has a primary key.",
        f"""
        select format('%s', c.oid::regclass)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in {OURS} and c.relkind in ('r', 'p')
          and not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p')
        """,
        "alter table public.things drop constraint things_pkey",
        "things",
    ),
    "public_tables_have_created_at": Rule(
        "Every public table has created_at: timestamptz, not null, with a default.",
        """
        select format('%s', c.oid::regclass)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'public' and c.relkind in ('r', 'p') and not exists (
          select from pg_attribute a
          where a.attrelid = c.oid and a.attname = 'created_at' and a.attnotnull and a.atthasdef
            and a.atttypid = 'timestamptz'::regtype
        )
        """,
        "alter table public.things alter created_at drop not null",
        "things",
    ),
    "foreign_keys_are_indexed": Rule(
        "Every foreign key has an index that begins with its columns; of a single one it may leave out nulls.",
        f"""
        select format('%s.%I', k.conrelid::regclass, k.conname)
        from pg_constraint k join pg_namespace n on n.oid = k.connamespace
        where n.nspname in {OURS} and k.contype = 'f' and not exists (
          select from pg_index i
          where i.indrelid = k.conrelid
            and (
              i.indpred is null
              or pg_get_expr(i.indpred, i.indrelid) = (
                select format('(%I IS NOT NULL)', a.attname)
                from pg_attribute a
                where a.attrelid = k.conrelid and array[a.attnum] = k.conkey
              )
            )
            and k.conkey @> (i.indkey::int2[])[0:cardinality(k.conkey) - 1]
            and k.conkey <@ (i.indkey::int2[])[0:cardinality(k.conkey) - 1]
        )
        """,
        "drop index public.things_owner_id_idx",
        "things.things_owner_id_fkey",
    ),
    "policy_columns_are_indexed": Rule(
        "A uuid column that a policy of its own table compares begins an index.",
        """
        select distinct format('%s.%I', p.polrelid::regclass, a.attname)
        from pg_policy p
        join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
        join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid and d.refobjid = p.polrelid
        join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        where n.nspname = 'public' and a.atttypid = 'uuid'::regtype and p.polcmd <> 'a'
          and not exists (select from pg_index i where i.indrelid = c.oid and i.indkey[0] = a.attnum)
        """,
        "alter table public.things drop constraint things_owner_id_fkey; drop index public.things_owner_id_idx",
        "things.owner_id",
    ),
    "views_are_security_invoker": Rule(
        "Every public view reads with the rights of its caller.",
        """
        select format('%s', c.oid::regclass)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'public' and c.relkind in ('v', 'm')
          and not coalesce(c.reloptions, '{}') && '{security_invoker=true,security_invoker=on}'
        """,
        "create or replace view public.thing_labels as select label from public.things",
        "thing_labels",
    ),
    "texts_have_limits": Rule(
        "Every text column and text array of a public table has a check that limits it.",
        r"""
        select format('%s.%I', c.oid::regclass, a.attname)
        from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'public' and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
          and a.atttypid in ('text'::regtype, 'varchar'::regtype, 'text[]'::regtype)
          and not exists (
            select from pg_constraint k
            where k.conrelid = c.oid and k.contype = 'c' and k.conkey @> array[a.attnum]
              and pg_get_constraintdef(k.oid) ~ 'length|size|private\.is_|\{[0-9,]+\}|= ANY|<@ ARRAY'
          )
        """,
        "alter table public.things drop constraint things_label_length",
        "things.label",
    ),
    "constraints_say_their_truth": Rule(
        "No check or exclusion constraint of a public table has a name that PostgreSQL made up.",
        """
        select format('%s.%I', k.conrelid::regclass, k.conname)
        from pg_constraint k join pg_namespace n on n.oid = k.connamespace
        where n.nspname = 'public' and k.contype in ('c', 'x') and k.conname ~ '_(check|excl)[0-9]*$'
        """,
        "alter table public.things add check (label <> 'x')",
        "things.things_label_check",
    ),
    "times_have_zones": Rule(
        "Points in time are timestamptz; no varchar(n), char(n), serial, money or json.",
        f"""
        select format('%s.%I', c.oid::regclass, a.attname)
        from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in {OURS} and c.relkind in ('r', 'p', 'v') and a.attnum > 0 and not a.attisdropped
          and (a.atttypid in ('timestamp'::regtype, 'timetz'::regtype, 'varchar'::regtype, 'bpchar'::regtype,
                              'money'::regtype, 'json'::regtype)
            or exists (
              select from pg_attrdef f where f.adrelid = c.oid and f.adnum = a.attnum
                and pg_get_expr(f.adbin, f.adrelid) like 'nextval%'
            ))
        """,
        "alter table public.things add seen_at timestamp",
        "things.seen_at",
    ),
    "functions_have_empty_search_paths": Rule(
        "Every function sets search_path to nothing.",
        f"""
        select format('%s', p.oid::regprocedure)
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in {OURS} and not coalesce(p.proconfig, '{{}}') @> array['search_path=""']
        """,
        "alter function public.count_things() reset search_path",
        "count_things()",
    ),
    "no_definer_in_public": Rule(
        "No function that the Data API reaches is security definer.",
        r"""
        select format('%s', p.oid::regprocedure)
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'public' and p.prosecdef
        """,
        "alter function public.count_things() security definer",
        "count_things()",
    ),
    "nobody_may_execute_by_default": Rule(
        "PUBLIC may execute no function of ours.",
        f"""
        select format('%s', p.oid::regprocedure)
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as g
        where n.nspname in {OURS} and g.grantee = 0
        """,
        "grant execute on function public.count_things() to public",
        "count_things()",
    ),
    "private_tables_are_private": Rule(
        "Client roles read private tables under row level security at most, the error registry and the clock apart.",
        """
        select distinct format('%s', c.oid::regclass)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        cross join (values ('anon'), ('authenticated')) as r (name)
        where n.nspname = 'private' and c.relkind in ('r', 'p', 'v', 'm')
          and (has_table_privilege(r.name, c.oid, 'insert, update, delete, truncate, references, trigger')
            or has_any_column_privilege(r.name, c.oid, 'insert, update, references')
            or (has_any_column_privilege(r.name, c.oid, 'select')
              and not c.relrowsecurity and c.relname not in ('error_codes', 'clock_offset')))
        """,
        "create table private.secrets (id int primary key); grant select on private.secrets to authenticated",
        "private.secrets",
    ),
    "one_policy_per_role_and_command": Rule(
        "A table has one permissive policy per role and command, and none for all commands or all roles.",
        """
        select format('%s for %s to %s', p.polrelid::regclass, p.polcmd, coalesce(r.rolname, 'public'))
        from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
        cross join unnest(p.polroles) as role (oid) left join pg_roles r on r.oid = role.oid
        where n.nspname in ('public', 'private', 'realtime') and p.polpermissive
        group by p.polrelid, p.polcmd, r.rolname
        having count(*) > 1 or p.polcmd = '*' or r.rolname is null
        """,
        "create policy select_more on public.things for select to authenticated using (id is null)",
        "things for r to authenticated",
    ),
    "triggers_say_their_turn": Rule(
        "Triggers are named _<three digits>_<task>, so that their order can be read.",
        f"""
        select format('%I on %s', t.tgname, t.tgrelid::regclass)
        from pg_trigger t join pg_proc p on p.oid = t.tgfoid join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in {OURS} and not t.tgisinternal and t.tgname !~ '^_[0-9]{{3}}_[a-z_]+$'
        """,
        """
        create function private.tg_things__nothing() returns trigger language plpgsql volatile security invoker
        set search_path = '' as $$ begin return null; end $$;
        create trigger nothing after insert on public.things execute function private.tg_things__nothing()
        """,
        "nothing on things",
    ),
    "replica_identity_is_the_key": Rule(
        "Published tables keep replica identity default: a DELETE tells every subscriber the key and nothing more.",
        f"""
        select format('%s', c.oid::regclass)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in {OURS} and c.relkind in ('r', 'p') and c.relreplident <> 'd'
        """,
        "alter table public.things replica identity full",
        "things",
    ),
}
