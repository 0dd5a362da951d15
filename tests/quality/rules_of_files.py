"""The conventions that can be read in the text of supabase/schemas and policies, one rule per function.

A rule takes a file and gives the breaches it finds. ``BREACHES`` holds a small file for each rule that breaks it and
nothing else of what it looks at: the proof that the rule can fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pglast import ast, enums
from pglast.parser import scan

from tests.quality.sql_files import Function, SqlFile, walk

Rule = Callable[[SqlFile], Iterator[str]]

EXCEPTION_LEVEL = 21  # PostgreSQL's ERROR, as libpg_query numbers it
HELPER = "raise_error"
COMMANDS = {"all", "select", "insert", "update", "delete"}


def header_says_the_promise(file: SqlFile) -> Iterator[str]:
    """A file begins with at most six lines of comment; a function's with two at least: promise, callers, locks."""
    lines = 0
    for line in file.text.splitlines():
        if not line.startswith("--"):
            break
        lines += 1
    if not (2 if file.functions else 1) <= lines <= 6:
        yield f"{file.place}: {lines} lines of header"


def keywords_are_lowercase(file: SqlFile) -> Iterator[str]:
    """Keywords are lowercase, in bodies of functions too."""
    for place, text in [(file.place, file.text), *((f"{file.place} ({f.name})", f.body) for f in file.functions)]:
        for token in scan(text):
            word = text[token.start : token.end + 1]
            if token.kind != "NO_KEYWORD" and word != word.lower():
                yield f"{place}: {word}"


def lines_are_short_and_clean(file: SqlFile) -> Iterator[str]:
    """Code has at most 140 characters a line, and no line a tab or a trailing space; the texts of comments are free."""
    free: set[int] = set()
    for statement in file.statements:
        if isinstance(statement.node, ast.CommentStmt | ast.GrantStmt):
            free.update(range(statement.line, statement.line + statement.text.count("\n") + 1))
    for number, line in enumerate(file.text.splitlines(), start=1):
        if len(line) > 140 and number not in free:
            yield f"{file.place}:{number}: {len(line)} characters"
        if "\t" in line or line != line.rstrip():
            yield f"{file.place}:{number}: tab or trailing space"


def file_is_named_after_what_it_defines(file: SqlFile) -> Iterator[str]:
    """A file defines the function or view it is named after, or several whose names begin so; tables.sql none."""
    if file.folder == "policies":
        return
    defined = {f.name for f in file.functions}
    defined |= {s.node.view.relname for s in file.statements if isinstance(s.node, ast.ViewStmt)}
    if file.stem == "tables":
        if defined:
            yield f"{file.place}: defines {', '.join(sorted(defined))}"
    elif not defined or not all(name.startswith(file.stem) for name in defined):
        yield f"{file.place}: defines {', '.join(sorted(defined)) or 'nothing'}"


def access_is_declared_in_policies(file: SqlFile) -> Iterator[str]:
    """Policies and grants on public tables stand in policies/, in the file named after their relation.

    A file of a private table may speak of the public view that reads it too: ``access_log`` in access_log_entries.sql.
    """
    for statement in file.statements:
        node = statement.node
        if isinstance(node, ast.CreatePolicyStmt):
            relations = [node.table]
        elif isinstance(node, ast.GrantStmt) and node.objtype == enums.ObjectType.OBJECT_TABLE:
            relations = [named for named in node.objects if named.schemaname == "public" or file.folder == "policies"]
        elif isinstance(node, ast.AlterTableStmt) and file.folder == "policies":
            relations = [node.relation]
        else:
            continue
        where = f"{file.place}:{statement.line}"
        for relation in relations:
            if file.folder != "policies":
                yield f"{where}: access to {relation.relname} belongs in policies/"
            elif (
                not file.stem.startswith(relation.relname) and file.stem != f"{relation.schemaname}_{relation.relname}"
            ):
                yield f"{where}: speaks of {relation.relname}"


def function_restates_every_attribute(file: SqlFile) -> Iterator[str]:
    """A function states language, volatility, definer or invoker, and an empty search_path, each time."""
    for function in file.functions:
        options = function.options
        missing = [name for name in ("language", "volatility", "security") if name not in options]
        if not any(_is_empty_search_path(setting) for setting in options["set"]):
            missing.append("set search_path = ''")
        if not function.schema:
            missing.append("its schema")
        if missing:
            yield f"{_at(file, function)}: does not state {', '.join(missing)}"


def definer_lives_in_private(file: SqlFile) -> Iterator[str]:
    """A security definer function lives in schema private, where the Data API cannot reach it."""
    for function in file.functions:
        security = function.options.get("security")
        if security is not None and security.boolval and function.schema != "private":
            yield f"{_at(file, function)}: security definer outside private"


def execute_is_revoked_then_granted(file: SqlFile) -> Iterator[str]:
    """Under each function stands its revoke from public, and every grant on it comes after that."""
    for function in file.functions:
        revoked = False
        for statement in file.statements[function.index + 1 :]:
            node = statement.node
            if isinstance(node, ast.CreateFunctionStmt) and not revoked:
                break
            if not isinstance(node, ast.GrantStmt) or node.objtype != enums.ObjectType.OBJECT_FUNCTION:
                continue
            if function.name not in [named.objname[-1].sval for named in node.objects]:
                continue
            to_public = any(role.roletype == enums.RoleSpecType.ROLESPEC_PUBLIC for role in node.grantees)
            if node.is_grant and to_public:
                yield f"{_at(file, function)}: granted to public"
            elif node.is_grant and not revoked:
                yield f"{_at(file, function)}: granted before it is revoked from public"
            revoked = revoked or (not node.is_grant and to_public)
        if not revoked:
            yield f"{_at(file, function)}: not revoked from public"


def policy_is_named_after_command_and_actor(file: SqlFile) -> Iterator[str]:
    """A policy is named <command>_<who>, speaks of one command, and names its roles."""
    for statement in file.statements:
        node = statement.node
        if not isinstance(node, ast.CreatePolicyStmt):
            continue
        if node.cmd_name == "all":
            yield f"{file.place}:{statement.line}: {node.policy_name} is for all commands"
        elif not re.fullmatch(rf"{node.cmd_name}_[a-z_]+", str(node.policy_name)):
            yield f"{file.place}:{statement.line}: {node.policy_name} is for {node.cmd_name}"
        if any(role.roletype == enums.RoleSpecType.ROLESPEC_PUBLIC for role in node.roles):
            yield f"{file.place}:{statement.line}: {node.policy_name} names no role"


def trigger_says_its_turn_and_its_task(file: SqlFile) -> Iterator[str]:
    """A trigger is named _<three digits>_<task> and calls private.tg_<table>__<task>; only triggers call those."""
    for statement in file.statements:
        node = statement.node
        if not isinstance(node, ast.CreateTrigStmt):
            continue
        where = f"{file.place}:{statement.line}: {node.trigname}"
        if not re.fullmatch(r"_\d{3}_[a-z_]+", str(node.trigname)):
            yield f"{where}: not _<three digits>_<task>"
        called = ".".join(part.sval for part in node.funcname)
        if not re.fullmatch(r"private\.tg_[a-z_]+__[a-z_]+", called):
            yield f"{where}: calls {called}"
    for function in file.functions:
        if function.is_trigger != function.name.startswith("tg_"):
            yield f"{_at(file, function)}: the prefix tg_ is for trigger functions, and all of them have it"


def errors_go_through_the_helper(file: SqlFile) -> Iterator[str]:
    """No function but private.raise_error raises an exception of its own; a bare re-raise is not one."""
    for function in file.functions:
        if function.language != "plpgsql" or function.name == HELPER:
            continue
        for raised in walk(function.plpgsql, "PLpgSQL_stmt_raise"):
            own = any(key in raised for key in ("message", "condname", "options"))
            if raised.get("elog_level", EXCEPTION_LEVEL) >= EXCEPTION_LEVEL and own:
                yield f"{_at(file, function)}: raises by itself"


def locals_begin_with_v(file: SqlFile) -> Iterator[str]:
    """A variable of plpgsql begins with v_, so that it cannot be taken for a column or a parameter; a counter is i."""
    for function in file.functions:
        if function.language != "plpgsql":
            continue
        # The parser lists sqlstate, sqlerrm and the variable of a `case` beside what is declared.
        for kind in ("PLpgSQL_var", "PLpgSQL_rec"):
            for datum in function.plpgsql.get("datums", []):
                variable = datum.get(kind)
                if not variable or not variable.get("lineno") or variable["refname"] in ("i", "sqlstate", "sqlerrm"):
                    continue
                if not variable["refname"].startswith(("v_", "__Case")):
                    yield f"{_at(file, function)}: {variable['refname']}"


def dynamic_sql_is_absent(file: SqlFile) -> Iterator[str]:
    """No function assembles SQL at run time: nothing to inject into, and every statement can be read."""
    for function in file.functions:
        if function.language == "plpgsql" and walk(function.plpgsql, "PLpgSQL_stmt_dynexecute"):
            yield f"{_at(file, function)}: execute"


def limited_lists_are_read_once(file: SqlFile) -> Iterator[str]:
    """A limited subquery stands in ``= any (array(…))``: that of ``in (…)`` may be run again and exceed its limit."""
    for function in file.functions:
        lists: list[bool] = []
        before = ""
        for token in scan(function.body):
            if token.name == "ASCII_40":
                lists.append(before == "IN_P")
            elif token.name == "ASCII_41" and lists:
                lists.pop()
            elif token.name == "LIMIT" and lists and lists[-1]:
                yield f"{_at(file, function)}: limit in a list"
            before = token.name


def error_symbols(file: SqlFile) -> list[list[str]]:
    """Give, for each call of the helper, the symbols that its first argument can be; none where that is not to be read.

    The argument is a constant, or a ``case`` of constants.
    """
    calls = re.finditer(rf"(?<!function )private\.{HELPER}\(\s*(case\b.*?\bend\b|[^,)]*)", file.text, re.DOTALL)
    return [re.findall(r"(?:^|then |else )'([a-z_]+)'", call[1]) for call in calls]


def _at(file: SqlFile, function: Function) -> str:
    return f"{file.place}:{function.statement.line}: {function.name}"


def _is_empty_search_path(setting: ast.VariableSetStmt) -> bool:
    values = [value.val.sval for value in setting.args or ()]
    return setting.name == "search_path" and values == [""]


GOOD_FUNCTION = """-- Gives one.
-- Called by nobody.
create or replace function public.one() returns int
language sql immutable security invoker set search_path = ''
as $$ select 1 $$;
revoke all on function public.one() from public;
grant execute on function public.one() to authenticated;
"""

GOOD_POLICY = """-- Own rows.
-- Nobody else.
alter table public.things enable row level security;
grant select on public.things to authenticated;
create policy select_own on public.things for select to authenticated using (id = (select auth.uid()));
"""

GOOD_TRIGGER = """-- Refuses negative sums.
-- Runs before the row is written.
create or replace function private.tg_things__check_sum() returns trigger
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_sum int := 0;
begin
  for v_step in 1..2 loop
    v_sum := v_sum + v_step;
  end loop;
  if v_sum < 0 then
    perform private.raise_error('invalid_input', 'the sum is negative', null);
  end if;
  return new;
exception
  when others then
    raise;
end
$$;
revoke all on function private.tg_things__check_sum() from public;
create trigger _100_check_sum
before insert on public.things
for each row execute function private.tg_things__check_sum();
"""

GOOD_FILES = (
    SqlFile("supabase/schemas/10_x/one.sql", GOOD_FUNCTION),
    SqlFile("policies/things.sql", GOOD_POLICY),
    SqlFile("supabase/schemas/10_x/tg_things__check_sum.sql", GOOD_TRIGGER),
)


def _one(old: str, new: str) -> SqlFile:
    assert old in GOOD_FUNCTION
    return SqlFile("supabase/schemas/10_x/one.sql", GOOD_FUNCTION.replace(old, new))


def _policy(old: str, new: str) -> SqlFile:
    assert old in GOOD_POLICY
    return SqlFile("policies/things.sql", GOOD_POLICY.replace(old, new))


def _trigger(old: str, new: str) -> SqlFile:
    assert old in GOOD_TRIGGER
    return SqlFile("supabase/schemas/10_x/tg_things__check_sum.sql", GOOD_TRIGGER.replace(old, new))


BREACHES: dict[Rule, tuple[SqlFile, ...]] = {
    header_says_the_promise: (_one("-- Called by nobody.\n", ""), _one("-- Gives one.\n", "-- a\n" * 6)),
    keywords_are_lowercase: (_one("create or", "CREATE OR"), _one("$$ select", "$$ SELECT")),
    lines_are_short_and_clean: (_one("select 1", f"select {'1' * 140}"), _one("invoker", "invoker \t")),
    file_is_named_after_what_it_defines: (
        SqlFile("supabase/schemas/10_x/two.sql", GOOD_FUNCTION),
        SqlFile("supabase/schemas/10_x/tables.sql", GOOD_FUNCTION),
        SqlFile("supabase/schemas/10_x/empty.sql", "-- a\n-- b\nselect 1;\n"),
    ),
    access_is_declared_in_policies: (
        _policy("grant select on public.things", "grant select on public.others"),
        _policy("alter table public.things", "alter table public.others"),
        SqlFile("supabase/schemas/10_x/tables.sql", GOOD_POLICY),
    ),
    function_restates_every_attribute: (
        _one("immutable ", ""),
        _one("security invoker ", ""),
        _one("set search_path = ''", ""),
        _one("set search_path = ''", "set search_path = public"),
        _one("public.one() returns", "one() returns"),
    ),
    definer_lives_in_private: (_one("security invoker", "security definer"),),
    execute_is_revoked_then_granted: (
        _one("revoke all on function public.one() from public;\n", ""),
        _one("revoke all on function public.one() from public", "revoke all on function public.one() from anon"),
        _one("to authenticated", "to public"),
        _one("revoke all", "grant execute on function public.one() to anon;\nrevoke all"),
    ),
    policy_is_named_after_command_and_actor: (
        _policy("select_own", "own_rows"),
        _policy("for select to authenticated", "for all to authenticated"),
        _policy("for select to authenticated", "for select"),
    ),
    trigger_says_its_turn_and_its_task: (
        _trigger("_100_check_sum", "check_sum"),
        _trigger("execute function private.tg_things__check_sum", "execute function private.check_sum"),
        _trigger("create or replace function private.tg_things__check_sum", "create or replace function private.check"),
        _one("public.one() returns", "public.tg_one() returns"),
    ),
    errors_go_through_the_helper: (
        _trigger("perform private.raise_error('invalid_input', 'the sum is negative', null)", "raise exception 'no'"),
        _trigger("raise;", "raise unique_violation;"),
        _trigger("raise;", "raise using errcode = 'PT409';"),
    ),
    locals_begin_with_v: (_trigger("v_sum", "sum"),),
    dynamic_sql_is_absent: (_trigger("return new", "execute 'select 1'; return new"),),
    limited_lists_are_read_once: (
        _trigger("return new", "delete from a where b in (select b from a limit 1); return new"),
    ),
}
RULES = tuple(BREACHES)
