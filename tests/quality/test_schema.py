"""The builder of the truth and the writer of the road, on a small tree of their own."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from sauti_local import schema
from sauti_local.postgres import SUPERUSER, Postgres
from sauti_local.schema import SchemaError, build_road, build_truth
from sauti_local.supabase_cli import CliFailed, difference
from sauti_local.throwaway import new_database

FILES = {
    "supabase/schemas/00_start/tables.sql": "create schema private;\n",
    "supabase/schemas/10_words/tables.sql": (
        "create table public.words (id int primary key default private.new_id(), word text);\n"
    ),
    "supabase/schemas/10_words/new_id.sql": (
        "create function private.new_id() returns int language sql as $$ select 1 $$;\n"
    ),
    "supabase/schemas/10_words/all_words.sql": (
        "create view public.all_words with (security_invoker = true) as\n"
        "select public.shout(word) as word from public.words;\n"
    ),
    "supabase/schemas/10_words/shout.sql": (
        "create function public.shout(word text) returns text language sql as $$ select upper(word) $$;\n"
    ),
    "supabase/schemas/20_more/first_word.sql": (
        "create function public.first_word() returns public.words language sql as $$ select * from public.later() $$;\n"
    ),
    "supabase/schemas/20_more/later.sql": (
        "create function public.later() returns public.words language sql as $$ select * from public.words $$;\n"
    ),
    "policies/words.sql": "alter table public.words enable row level security;\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small truth."""
    for place, text in FILES.items():
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_files_are_applied_helpers_first_then_tables_functions_views_and_policies_last(tree: Path) -> None:
    assert [path.stem for path in schema.truth_files(tree)] == [
        "tables", "new_id", "tables", "shout", "all_words", "first_word", "later", "words",
    ]  # fmt: skip


def test_an_empty_folder_is_no_topic(tree: Path) -> None:
    (tree / "supabase/schemas/30_empty").mkdir()
    assert [topic.name for topic in schema.topics(tree)] == ["start", "words", "more", "policies"]


def test_a_folder_that_is_no_topic_is_refused(tree: Path) -> None:
    (tree / "supabase/schemas/misc").mkdir()
    with pytest.raises(SchemaError, match="misc"):
        schema.topics(tree)


def test_the_baseline_is_one_migration_per_topic_and_settles(tree: Path) -> None:
    written = schema.write_baseline(tree)
    assert written == [
        "20261122000000_start.sql",
        "20261122000100_words.sql",
        "20261122000200_more.sql",
        "20261122000300_policies.sql",
    ]
    assert schema.write_baseline(tree) == []
    assert schema.stale_migrations(tree) == []
    for name in written:
        text = (tree / "supabase/migrations" / name).read_text()
        assert text.splitlines()[1] == "set check_function_bodies = off;"


def test_a_missing_a_changed_and_a_left_over_migration_are_stale(tree: Path) -> None:
    schema.write_baseline(tree)
    migrations = tree / "supabase/migrations"
    (migrations / "20261122000000_start.sql").unlink()
    (migrations / "20261122000100_words.sql").write_text("select 1;\n")
    (migrations / "20261123000000_left_over.sql").write_text("select 1;\n")
    stale = ["20261122000000_start.sql", "20261122000100_words.sql", "20261123000000_left_over.sql"]
    assert schema.stale_migrations(tree) == stale
    assert schema.write_baseline(tree) == stale
    assert schema.stale_migrations(tree) == []


def test_a_released_road_is_never_rewritten(tree: Path) -> None:
    schema.write_baseline(tree)
    (tree / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n")
    assert not schema.is_released(tree)
    (tree / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 1.0.0 - 2027-01-01\n")
    (tree / "policies/words.sql").write_text("select 1;\n")
    before = {path: path.read_text() for path in schema.road_files(tree)}
    with pytest.raises(SchemaError, match="draft"):
        schema.write_baseline(tree)
    assert {path: path.read_text() for path in schema.road_files(tree)} == before


def test_both_builds_of_the_small_tree_are_alike(tree: Path, postgres_server: Postgres) -> None:
    schema.write_baseline(tree)
    road, truth = new_database(postgres_server, "small_road"), new_database(postgres_server, "small_truth")
    with psycopg.connect(road, autocommit=True) as connection:
        build_road(connection, tree)
    with psycopg.connect(truth, autocommit=True) as connection:
        build_truth(connection, tree)
        connection.execute("insert into public.words (word) values ('hush')")
        assert connection.execute("select word from public.all_words").fetchall() == [("HUSH",)]
    assert difference(road, truth) == ""


def test_a_broken_file_is_named_with_its_line_and_undoes_its_topic(tree: Path, postgres_server: Postgres) -> None:
    (tree / "supabase/schemas/20_more/later.sql").write_text("-- one\n-- two\ncreate table public.x (id nonsense);\n")
    with psycopg.connect(new_database(postgres_server, "small_broken"), autocommit=True) as connection:
        with pytest.raises(SchemaError, match=r"supabase/schemas/20_more/later\.sql:3: "):
            build_truth(connection, tree)
        made = connection.execute("select to_regclass('public.words')::text, to_regproc('public.first_word')::text")
        assert made.fetchone() == ("words", None)


def test_the_builds_refuse_the_superuser(tree: Path, postgres_server: Postgres) -> None:
    # What only a superuser can do would pass here and fail on a hosted project.
    with (
        psycopg.connect(postgres_server.url(user=SUPERUSER), autocommit=True) as connection,
        pytest.raises(SchemaError, match="postgres"),
    ):
        build_truth(connection, tree)


def test_a_comparison_that_cannot_be_made_is_no_empty_difference(postgres_server: Postgres) -> None:
    with pytest.raises(CliFailed):
        difference(postgres_server.url("nowhere"), postgres_server.url())


def test_the_command_checks_and_says_what_is_stale(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schema.stale_migrations, "__defaults__", (tree,))
    monkeypatch.setattr(schema.is_released, "__defaults__", (tree,))
    assert schema.main(["check"]) == 1
    assert "20261122000100_words.sql" in capsys.readouterr().out
    schema.write_baseline(tree)
    assert schema.main(["check"]) == 0
