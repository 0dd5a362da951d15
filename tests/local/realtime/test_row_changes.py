"""`postgres_changes`: rows from the WAL, to those who may see them, in the columns that they may select."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from tests.local.realtime.backend import Backend, Listener


@pytest.fixture
def user() -> str:
    return str(uuid.uuid4())


async def listen(backend: Backend, user: str, *changes: dict[str, Any]) -> Listener:
    return await (await Listener.join(await backend.client(user), f"changes-{uuid.uuid4()}", changes=changes)).joined()


async def insert(backend: Backend, owner: str, **values: Any) -> str:
    """A note; its id."""
    columns = {"owner": owner} | values
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    rows = await backend.execute(f"insert into notes ({names}) values ({places}) returning id::text", *columns.values())
    return str(rows[0][0])


async def test_all_events_of_an_own_row_in_the_form_of_the_platform(backend: Backend, user: str) -> None:
    listener = await listen(backend, user, {"table": "notes"})
    note = await insert(
        backend, user, body="a \"b\" \n ü", amount=3, price="10000000000000000000.10", at="2026-01-02T03:04:05.006+02",
        mood="calm", tags=["x", None, "y z"], secret="hidden", document='{"b": 1, "a": [null]}',
    )  # fmt: skip
    inserted = await listener.change()
    await backend.execute("update notes set amount = 4 where id = %s", note)
    updated = await listener.change()
    await backend.execute("delete from notes where id = %s", note)
    deleted = await listener.change()
    assert inserted["record"] == {
        "id": note,
        "owner": user,
        "body": 'a "b" \n ü',
        "amount": 3,
        "price": 10000000000000000000.10,
        "at": "2026-01-02T01:04:05.006+00:00",
        "mood": "calm",
        "tags": ["x", None, "y z"],
        "document": {"b": 1, "a": [None]},
    }
    assert {**inserted, "commit_timestamp": None, "record": None} == {
        "schema": "public",
        "table": "notes",
        "type": "INSERT",
        "commit_timestamp": None,
        "errors": None,
        "record": None,
        "columns": [
            {"name": "id", "type": "uuid"},
            {"name": "owner", "type": "uuid"},
            {"name": "body", "type": "text"},
            {"name": "amount", "type": "int4"},
            {"name": "price", "type": "numeric"},
            {"name": "at", "type": "timestamptz"},
            {"name": "mood", "type": "mood"},
            {"name": "tags", "type": "_text"},
            {"name": "document", "type": "json"},
        ],
    }
    assert inserted["commit_timestamp"].endswith("Z")
    assert (updated["type"], updated["record"]["amount"], updated["old_record"]) == ("UPDATE", 4, {"id": note})
    assert (deleted["type"], deleted["old_record"]) == ("DELETE", {"id": note})
    assert "record" not in deleted


async def test_a_row_of_another_user_is_never_heard(backend: Backend, user: str) -> None:
    other = str(uuid.uuid4())
    listener, neighbour = (
        await listen(backend, user, {"table": "notes"}),
        await listen(backend, other, {"table": "notes"}),
    )
    theirs = await insert(backend, other, body="theirs")
    await backend.execute("update notes set body = 'changed' where id = %s", theirs)
    own = await insert(backend, user, body="own")
    assert (await listener.change())["record"]["id"] == own
    assert [(await neighbour.change())["record"]["body"] for _ in range(2)] == ["theirs", "changed"]


async def test_a_row_given_away_is_heard_by_the_new_owner_alone(backend: Backend, user: str) -> None:
    other = str(uuid.uuid4())
    note = await insert(backend, user)
    listener, neighbour = (
        await listen(backend, user, {"table": "notes"}),
        await listen(backend, other, {"table": "notes"}),
    )
    await backend.execute("update notes set owner = %s where id = %s", other, note)
    last = await insert(backend, user)
    assert (await neighbour.change())["record"]["id"] == note
    assert (await listener.change())["record"]["id"] == last


async def test_a_deletion_is_told_to_everybody_by_its_key_alone(backend: Backend, user: str) -> None:
    note = await insert(backend, str(uuid.uuid4()), body="of another")
    listener = await listen(backend, user, {"table": "notes", "event": "DELETE"})
    await backend.execute("delete from notes where id = %s", note)
    assert (await listener.change())["old_record"] == {"id": note}


async def test_a_deletion_is_told_by_its_key_alone_though_the_wal_holds_the_whole_row(
    backend: Backend, user: str
) -> None:
    listener = await listen(backend, user, {"table": "pairs"})
    await backend.execute("alter table pairs replica identity full")
    try:
        await backend.execute("insert into pairs values (1, 'x', %s, 'story')", user)
        await listener.change()
        await backend.execute("update pairs set body = 'new' where owner = %s", user)
        updated = await listener.change()
        await backend.execute("delete from pairs where owner = %s", user)
        deleted = await listener.change()
        assert updated["old_record"] == {"a": 1, "b": "x", "owner": user, "body": "story"}
        assert deleted["old_record"] == {"a": 1, "b": "x"}
    finally:
        await backend.execute("alter table pairs replica identity default")


async def listen_to_both(backend: Backend, user: str, **binding: str) -> Callable[[], Awaitable[tuple[bool, Any]]]:
    """Subscribe to that and to all of `notes`: says of each change whether it was for the first, and its data."""
    wire = await backend.wire()
    bindings = [{"schema": "public", "table": "notes", "event": "*"} | more for more in (binding, {})]
    reply = await wire.join("realtime:both", backend.token(user), postgres_changes=bindings)
    assert (await wire.until("system"))["status"] == "ok"
    first, second = (item["id"] for item in reply["response"]["postgres_changes"])

    async def next_change() -> tuple[bool, Any]:
        message = await wire.until("postgres_changes")
        assert second in message["ids"]
        return first in message["ids"], message["data"]

    return next_change


@pytest.mark.parametrize("event", ["INSERT", "UPDATE", "DELETE", "*"])
async def test_only_the_event_that_was_asked_for_is_heard(backend: Backend, user: str, event: str) -> None:
    next_change = await listen_to_both(backend, user, event=event)
    note, heard = await insert(backend, user), []
    heard.append(await next_change())
    await backend.execute("update notes set amount = 1 where id = %s", note)
    heard.append(await next_change())
    await backend.execute("delete from notes where id = %s", note)
    heard.append(await next_change())
    assert [data["type"] for _, data in heard] == ["INSERT", "UPDATE", "DELETE"]
    assert [matches for matches, _ in heard] == [event in ("*", data["type"]) for _, data in heard]


@pytest.mark.parametrize(
    "condition, expected",
    [
        ("amount=eq.2", [2]),
        ("amount=neq.2", [1, 3, 10]),
        ("amount=lt.2", [1]),
        ("amount=lte.2", [1, 2]),
        ("amount=gt.2", [3, 10]),
        ("amount=gte.2", [2, 3, 10]),
        ("amount=in.(1,10)", [1, 10]),
        ("amount=gt.1,amount=lt.10", [2, 3]),
        ("price=eq.2.50", [2]),
        ("at=gte.2026-01-01T00:00:00+02:00", [3, 10]),
        ("mood=eq.upset", [1]),
        ("mood=neq.upset", [3, 10]),
        ('body=in.("with, comma",plain)', [1, 3]),
        ('body=eq."with, comma"', [3]),
        ("body=eq.plain", [1]),
        ("body=gt.p", [1, 3]),
    ],
)
async def test_a_filter_lets_through_what_it_says(
    backend: Backend, user: str, condition: str, expected: list[int]
) -> None:
    next_change = await listen_to_both(backend, user, filter=condition)
    rows = [
        (1, "1.5", "2025-12-31T21:59:59Z", "upset", "plain"),
        (2, "2.5", None, None, None),
        (3, "3", "2025-12-31T22:00:00Z", "calm", "with, comma"),
        (10, "4", "2026-01-02T00:00:00Z", "calm", "other"),
    ]
    for amount, price, at, mood, body in rows:
        await insert(backend, user, amount=amount, price=price, at=at, mood=mood, body=body)
    heard = [await next_change() for _ in rows]
    assert [data["record"]["amount"] for matches, data in heard if matches] == expected


async def test_a_filter_on_a_deletion_knows_the_key_alone(backend: Backend, user: str) -> None:
    note = await insert(backend, user, amount=1)
    by_key = await listen_to_both(backend, user, filter=f"id=eq.{note}")
    by_value = await listen_to_both(backend, user, filter="amount=eq.1")
    await backend.execute("delete from notes where id = %s", note)
    assert (await by_key())[0]
    assert not (await by_value())[0]


async def test_a_filter_on_a_value_that_is_null_holds_never(backend: Backend, user: str) -> None:
    listener = await listen(backend, user, {"table": "notes", "filter": "amount=neq.1"})
    await insert(backend, user, amount=None)
    await insert(backend, user, amount=2)
    assert (await listener.change())["record"]["amount"] == 2


async def test_bindings_of_one_channel_are_told_apart_by_their_ids(backend: Backend, user: str) -> None:
    wire = await backend.wire()
    both = [
        {"event": "*", "schema": "public", "table": "notes", "filter": "amount=eq.1"},
        {"event": "INSERT", "schema": "public", "table": "notes"},
    ]
    reply = await wire.join("realtime:c", backend.token(user), postgres_changes=both)
    confirmed = reply["response"]["postgres_changes"]
    assert [{k: v for k, v in item.items() if k != "id"} for item in confirmed] == both
    assert (await wire.until("system"))["message"] == "Subscribed to PostgreSQL"
    first, second = (item["id"] for item in confirmed)
    await insert(backend, user, amount=1)
    await insert(backend, user, amount=2)
    assert sorted((await wire.until("postgres_changes"))["ids"]) == sorted([first, second])
    assert (await wire.until("postgres_changes"))["ids"] == [second]


async def test_a_whole_schema_can_be_listened_to(backend: Backend, user: str) -> None:
    listener = await listen(backend, user, {"schema": "public"})
    await backend.execute("insert into pairs values (7, 'y', %s)", user)
    note = await insert(backend, user)
    assert (await listener.change())["record"]["a"] == 7
    assert (await listener.change())["record"]["id"] == note


async def test_only_the_columns_asked_for_are_sent_and_always_the_key(backend: Backend, user: str) -> None:
    wire = await backend.wire("2.0.0")
    binding = {"event": "*", "schema": "public", "table": "notes", "select": ["body"]}
    await wire.join("realtime:c", backend.token(user), postgres_changes=[binding])
    note = await insert(backend, user, body="b", amount=1)
    data = (await wire.until("postgres_changes"))["data"]
    assert data["record"] == {"id": note, "body": "b"}
    assert [column["name"] for column in data["columns"]] == ["id", "body"]


@pytest.mark.parametrize(
    "binding",
    [
        {"table": "unpublished"},
        {"table": "missing"},
        {"table": "notes", "filter": "secret=eq.x"},
        {"table": "notes", "filter": "missing=eq.x"},
        {"table": "notes", "filter": "amount=eq.many"},
        {"table": "notes", "filter": "amount=like.1"},
        {"table": "notes", "filter": "amount=in.1,2"},
        {"table": "notes", "filter": "amount"},
        {"table": "notes", "filter": "document=eq.{}"},
        {"table": "notes", "filter": "body=eq.a\0b"},
        {"table": "notes", "filter": f"amount=in.({','.join(map(str, range(101)))})"},
        {"table": "notes", "filter": 5},
        {"table": "notes", "select": ["secret"]},
        {"schema": 5, "table": {}},
    ],
)
async def test_what_cannot_be_subscribed_to_is_said_and_the_channel_lives(
    backend: Backend, user: str, binding: dict[str, Any]
) -> None:
    wire = await backend.wire()
    request = {"event": "*", "schema": "public"} | binding
    assert (await wire.join("realtime:c", backend.token(user), postgres_changes=[request]))["status"] == "ok"
    system = await wire.until("system")
    assert (system["extension"], system["status"]) == ("postgres_changes", "error")
    await backend.send("c", "alive", private=False)
    assert (await wire.until("broadcast"))["event"] == "alive"


async def test_a_client_that_waits_for_its_subscription_is_refused_when_there_is_none(
    backend: Backend, user: str
) -> None:
    wire = await backend.wire("2.0.0")
    binding = {"event": "*", "schema": "public", "table": "unpublished"}
    refused = await wire.join(
        "realtime:c", backend.token(user), postgres_changes=[binding], postgres_changes_options={"wait": True}
    )
    assert refused["status"] == "error"
    assert refused["response"]["reason"].startswith("RealtimeDisabledForConfiguration")


@pytest.mark.parametrize("table, error", [("closed", "Error 401: Unauthorized"), ("keyless", "no primary key")])
async def test_a_table_whose_key_cannot_be_selected_tells_an_error_and_no_value(
    backend: Backend, user: str, table: str, error: str
) -> None:
    wire = await backend.wire()
    binding = {"event": "INSERT", "schema": "public", "table": table}
    await wire.join("realtime:c", backend.token(user), postgres_changes=[binding])
    await backend.execute(f"insert into {table} (body) values ('story')")
    data = (await wire.until("postgres_changes"))["data"]
    assert error in data["errors"][0]
    assert (data["record"], data["columns"], data["commit_timestamp"]) == ({}, [], None)
    assert "story" not in str(data)


async def test_a_table_without_policies_is_told_to_whoever_may_select_it(backend: Backend, user: str) -> None:
    listener = await listen(backend, user, {"table": "open_board"})
    ((row,),) = await backend.execute("insert into open_board (body) values ('hi') returning id")
    assert (await listener.change())["record"] == {"id": row, "body": "hi"}
    await backend.execute("delete from open_board where id = %s", row)
    assert (await listener.change())["old_record"] == {"id": row}


async def test_the_service_role_hears_every_row(backend: Backend) -> None:
    client = await backend.client(role="service_role")
    listener = await (await Listener.join(client, "all", changes=({"table": "notes"},))).joined()
    note = await insert(backend, str(uuid.uuid4()), secret="told")
    record = (await listener.change())["record"]
    assert (record["id"], record["secret"]) == (note, "told")


async def test_a_large_value_that_an_update_left_alone_is_not_guessed(backend: Backend, user: str) -> None:
    story = "".join(uuid.uuid4().hex for _ in range(2000))
    note = await insert(backend, user, body=story)
    listener = await listen(backend, user, {"table": "notes"})
    await backend.execute("update notes set amount = 1 where id = %s", note)
    record = (await listener.change())["record"]
    assert "body" not in record
    assert record["amount"] == 1


async def test_a_row_that_is_too_large_is_told_by_its_small_values(backend: Backend, user: str) -> None:
    listener = await listen(backend, user, {"table": "notes"})
    note = await insert(backend, user, body="x" * 1_100_000, amount=1)
    data = await listener.change()
    assert data["errors"] == ["Error 413: Payload Too Large"]
    assert (data["record"]["id"], data["record"]["amount"], "body" in data["record"]) == (note, 1, False)


async def test_a_transaction_of_many_rows_arrives_whole_and_in_order(backend: Backend, user: str) -> None:
    listener = await listen(backend, user, {"table": "notes", "event": "INSERT"})
    await backend.execute("insert into notes (owner, amount) select %s, n from generate_series(1, 2000) n", user)
    assert [(await listener.change())["record"]["amount"] for _ in range(2000)] == list(range(1, 2001))


async def test_what_is_rolled_back_is_never_heard(backend: Backend, user: str) -> None:
    listener = await listen(backend, user, {"table": "notes"})
    async with await psycopg.AsyncConnection.connect(backend.db_url) as connection:
        await connection.execute("insert into notes (owner) values (%s)", (user,))
        await connection.rollback()
    note = await insert(backend, user)
    assert (await listener.change())["record"]["id"] == note


async def test_many_committers_at_once_lose_no_event(backend: Backend, user: str) -> None:
    """A commit is in the WAL a moment before other sessions see its rows."""
    listener = await listen(backend, user, {"table": "notes", "event": "INSERT"})

    async def write(number: int) -> None:
        async with await psycopg.AsyncConnection.connect(backend.db_url, autocommit=True) as connection:
            for step in range(40):
                await connection.execute(
                    "insert into notes (owner, amount) values (%s, %s)", (user, number * 100 + step)
                )

    await asyncio.gather(*(write(number) for number in range(6)))
    heard = [(await listener.change())["record"]["amount"] for _ in range(240)]
    assert sorted(heard) == sorted(number * 100 + step for number in range(6) for step in range(40))


async def release(connection: psycopg.AsyncConnection, application_name: str) -> bool:
    """End the wait of a commit for its standby; whether one waited."""
    ended = await connection.execute(
        "select pg_cancel_backend(pid) from pg_stat_activity where application_name = %s and wait_event = 'SyncRep'",
        (application_name,),
    )
    return ended.rowcount > 0


async def commits_are_held(backend: Backend, connection: psycopg.AsyncConnection) -> None:
    """Wait until commits wait for a standby: the checkpointer tells them to, some time after the setting is loaded."""

    async def commit() -> None:
        async with await psycopg.AsyncConnection.connect(backend.db_url, application_name="probe") as probe:
            await probe.execute("select pg_logical_emit_message(true, 'probe', '')")

    async with asyncio.timeout(10):
        held = False
        while not held:
            probing = asyncio.create_task(commit())
            while not probing.done():
                held = await release(connection, "probe") or held
                await asyncio.sleep(0.01)
            await probing


async def test_a_commit_that_others_do_not_see_yet_is_waited_for(backend: Backend, user: str) -> None:
    """A standby that does not exist holds a commit where every commit is for a moment: in the WAL, but unseen."""
    listener = await listen(backend, user, {"table": "notes"})

    async def write() -> None:
        async with await psycopg.AsyncConnection.connect(backend.db_url, application_name=user) as connection:
            await connection.execute("select realtime.send('{}', 'decoded', %s, false)", (user,))
            await connection.execute("insert into notes (owner) values (%s)", (user,))

    decoded = await (await Listener.join(await backend.client(), user)).joined()
    async with await psycopg.AsyncConnection.connect(backend.db_url, autocommit=True) as connection:
        await connection.execute("alter system set synchronous_standby_names = 'nobody'")
        try:
            await connection.execute("select pg_reload_conf()")
            await commits_are_held(backend, connection)
            writing = asyncio.create_task(write())
            assert (await decoded.next())["event"] == "decoded"
            await asyncio.sleep(0.1)  # what must not happen happens now, if at all
            assert listener.heard.empty()
            await release(connection, user)
            await writing
        finally:
            await connection.execute("alter system reset synchronous_standby_names")
            await connection.execute("select pg_reload_conf()")
    assert (await listener.change())["record"]["owner"] == user


async def test_a_subscriber_whose_claims_make_a_policy_fail_hears_nothing_and_costs_nobody_else(
    backend: Backend, user: str
) -> None:
    broken = await backend.wire()
    binding = {"event": "*", "schema": "public", "table": "notes"}
    token = backend.token("not a uuid")
    assert (await broken.join("realtime:c", token, postgres_changes=[binding]))["status"] == "ok"
    assert (await broken.until("system"))["status"] == "ok"
    listener = await listen(backend, user, {"table": "notes"})
    note = await insert(backend, user)
    assert (await listener.change())["record"]["id"] == note
    await backend.send("c", "last", private=False)
    assert (await broken.receive())[1] == "broadcast"


async def test_a_right_that_is_taken_away_ends_what_it_told(backend: Backend, user: str) -> None:
    listener = await listen(backend, user, {"table": "pairs", "filter": "body=eq.x"}, {"table": "pairs"})
    await backend.execute(
        "revoke select on pairs from authenticated; grant select (a, b, owner) on pairs to authenticated"
    )
    try:
        await backend.execute("insert into pairs values (9, 'z', %s, 'x')", user)
        message = await listener.next()
        assert message["data"]["record"] == {"a": 9, "b": "z", "owner": user}
        assert len(message["ids"]) == 1
    finally:
        await backend.execute("grant select on pairs to authenticated")


async def test_a_changed_table_is_followed(backend: Backend, user: str) -> None:
    listener = await listen(backend, user, {"table": "pairs"})
    await backend.execute("alter table pairs add column extra int default 5")
    try:
        await backend.execute("insert into pairs values (11, 'z', %s, 'x')", user)
        assert (await listener.change())["record"]["extra"] == 5
    finally:
        await backend.execute("alter table pairs drop column extra")
    await backend.execute("insert into pairs values (12, 'z', %s, 'x')", user)
    assert (await listener.change())["record"] == {"a": 12, "b": "z", "owner": user, "body": "x"}


async def test_a_filter_that_a_changed_column_has_broken_holds_never_and_costs_nobody_else(
    backend: Backend, user: str
) -> None:
    await backend.execute("alter table pairs add column extra int")
    try:
        filtered = await listen(backend, user, {"table": "pairs", "filter": "extra=eq.1"})
        every = await listen(backend, user, {"table": "pairs"})
        await backend.execute("insert into pairs values (21, 'z', %s, 'x', 1)", user)
        assert (await filtered.change())["record"]["a"] == (await every.change())["record"]["a"] == 21
        await backend.execute("alter table pairs alter column extra type date using null")
        await backend.execute("insert into pairs values (22, 'z', %s, 'x', '2026-01-01')", user)
        assert (await every.change())["record"]["extra"] == "2026-01-01"
        assert filtered.heard.empty()
    finally:
        await backend.execute("alter table pairs drop column extra")


async def test_after_a_new_token_the_new_claims_decide(backend: Backend, user: str) -> None:
    other = str(uuid.uuid4())
    wire = await backend.wire()
    binding = {"event": "*", "schema": "public", "table": "notes"}
    await wire.join("realtime:c", backend.token(user), postgres_changes=[binding])
    await wire.push("realtime:c", "access_token", {"access_token": backend.token(other)})
    assert await wire.alive()
    await insert(backend, user)
    theirs = await insert(backend, other)
    assert (await wire.until("postgres_changes"))["data"]["record"]["id"] == theirs
