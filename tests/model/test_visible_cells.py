"""Random walks as all actors; after every step each actor sees exactly the cells that an independent oracle says.

The actors: two survivors (one signed in anonymously), three to four professionals of all states, an administrator, a
visitor without an account, and the worker with time. A step is one request of one of them to the real PostgREST, with
a token of the Auth server's form. After each step:

- the answer is compared: the row or the refusal, its symbol and status;
- every actor makes one request of their own, again with their token, to a function that reads with its caller's
  rights every column that the role may select of every relation but those that a walk never writes to
  (`visible.EMPTY`): all rows and cells must be those of the oracle. What the
  server chooses (ids, codes, scores, the seconds of its timestamps) is bound when it is first seen, and must
  be the same wherever and whenever it is seen later.

After every fourth walk every actor also reads every relation as a client does, ``GET /<relation>?select=…``, and the
same is compared. The oracle is written from the contract and shares no code with the SQL; whom of more
candidates than are wanted the score puts first, it takes from what the professionals see.

More walks: ``SAUTI_MODEL_WALKS=5000``, with new random choices each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from sauti_local.postgres import Postgres
from tests.model.stage import Stage, running_stage
from tests.model.visible import PUBLIC
from tests.model.walk import Walk, known_relations
from tests.support.database import Database
from tests.support.loop_thread import LoopThread

STEPS = 40
WALKS = int(os.environ.get("SAUTI_MODEL_WALKS", "200"))
#: In parts, so that test processes can share them.
PARTS = 4


@pytest.fixture
def stage(postgres_server: Postgres, database: Database, loop_thread: LoopThread, tmp_path: Path) -> Iterator[Stage]:
    with running_stage(postgres_server, database, loop_thread, tmp_path) as running:
        yield running


@pytest.mark.timeout(max(900, WALKS * 4))
@pytest.mark.parametrize("part", range(PARTS))
def test_every_actor_sees_what_the_oracle_says_after_every_step(stage: Stage, part: int) -> None:
    class ThisWalk(Walk):
        pass

    ThisWalk.stage = stage
    ThisWalk.__qualname__ = f"part {part}"
    run_state_machine_as_test(
        ThisWalk,
        settings=settings(
            max_examples=-(-WALKS // PARTS),
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize="SAUTI_MODEL_WALKS" not in os.environ,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
            print_blob=False,
        ),
    )
    assert ThisWalk.steps > WALKS // PARTS * STEPS // 2


def test_the_oracle_speaks_about_every_relation_that_a_client_may_read(stage: Stage) -> None:
    assert set(stage.relations["authenticated"]) <= known_relations()
    assert set(stage.relations["anon"]) == PUBLIC
