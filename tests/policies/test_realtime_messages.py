"""Who may join which private topic. The Realtime server asks with the topic in a setting, as each role."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.cases import Cases, Sql
from tests.support.reach import snapshot


def may_join(actor: Sql, topic: str, extension: str = "broadcast") -> bool:
    """Whether a row of the extension can be read with the topic set, as Realtime asks at join."""
    try:
        (row,) = actor.execute(
            "select (select set_config('realtime.topic', %s, true)) is not null and exists ("
            " select 1 from realtime.messages m where m.extension = %s) as allowed",
            (topic, extension),
        ).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return False
    return bool(row["allowed"])


@pytest.fixture
def topics(cases: Cases) -> Cases:
    superuser = cases.database.as_superuser()
    for extension in ("broadcast", "presence"):
        superuser.execute(
            "insert into realtime.messages (topic, extension, payload, event, private)"
            " values ('probe', %s, '{}', 'probe', true)",
            (extension,),
        )
    return cases


def test_a_user_joins_the_own_topic_and_no_other(topics: Cases) -> None:
    survivor, other = topics.survivor(), topics.survivor()
    assert may_join(survivor.sql, f"user:{survivor.id}")
    for topic in (
        f"user:{other.id}",
        "user:",
        f"user:{survivor.id} ",
        f"USER:{survivor.id}",
        str(survivor.id),
        "sauti_sync",
        "",
        "user:%",
    ):
        assert not may_join(survivor.sql, topic), topic


def test_an_administrator_listens_to_nobody(topics: Cases) -> None:
    survivor = topics.survivor()
    assert not may_join(topics.admin(), f"user:{survivor.id}")


def test_there_is_no_presence_to_join(topics: Cases) -> None:
    survivor = topics.survivor()
    assert not may_join(survivor.sql, f"user:{survivor.id}", "presence")


def test_a_visitor_joins_nothing(topics: Cases) -> None:
    survivor = topics.survivor()
    for topic in (f"user:{survivor.id}", "user:", "sauti_sync"):
        assert not may_join(topics.database.as_anon(), topic)


def test_an_anonymous_user_joins_the_own_topic(topics: Cases) -> None:
    user_id = topics.database.add_user(anonymous=True)
    assert may_join(topics.database.as_user(user_id, anonymous=True), f"user:{user_id}")


def test_the_worker_hears_the_doorbell(topics: Cases) -> None:
    assert may_join(topics.database.as_service(), "sauti_sync")


def test_nobody_sends_to_anybody(topics: Cases) -> None:
    survivor = topics.survivor()
    before = snapshot(topics, "realtime.messages")
    for actor in (survivor.sql, topics.professional().sql, topics.admin(), topics.database.as_anon()):
        for topic in (f"user:{survivor.id}", "sauti_sync"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                actor.execute(
                    "insert into realtime.messages (topic, extension, payload, event, private)"
                    " values (%s, 'broadcast', '{}', 'x', true)",
                    (topic,),
                )
            # realtime.send turns the refusal into a warning.
            actor.execute("select realtime.send('{}', 'x', %s, true)", (topic,))
    assert snapshot(topics, "realtime.messages") == before
