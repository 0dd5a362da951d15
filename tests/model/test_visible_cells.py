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
same is compared; and at its end the accounts go one after the other, and nothing may be left. The oracle is written
from the contract and shares no code with the SQL; whom of more candidates than are wanted the score puts first, it
takes from what the professionals see.

More walks, for days and nights: ``SAUTI_MODEL_WALKS=5000``. They are new ones each time; ``SAUTI_MODEL_SEED=1`` says
which, so that two processes can take different ones, and a failure be played again. With ``-s`` the run tells how far
it is, and at its end what was done how often.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from psycopg.conninfo import conninfo_to_dict
from pytest_postgresql.janitor import DatabaseJanitor

from sauti_local.postgres import SUPERUSER, Postgres
from tests.model.journal import Journal
from tests.model.stage import Stage, running_stage
from tests.model.visible import PUBLIC
from tests.model.walk import known_relations
from tests.model.whole_walk import Walk
from tests.support.database import Database
from tests.support.loop_thread import LoopThread

STEPS = 40
WALKS = int(os.environ.get("SAUTI_MODEL_WALKS", "200"))
IS_LONG = "SAUTI_MODEL_WALKS" in os.environ or "SAUTI_MODEL_SEED" in os.environ
SEED = int(os.environ.get("SAUTI_MODEL_SEED") or random.SystemRandom().randrange(10**9))
#: In parts, so that test processes can share them.
PARTS = 4


@pytest.fixture(scope="module")
def stage(
    postgres_server: Postgres, template: str, loop_thread: LoopThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    clone = Database(postgres_server)
    server = conninfo_to_dict(clone.superuser_url)
    with (
        DatabaseJanitor(
            user=SUPERUSER,
            host=str(server["host"]),
            port=int(server["port"]),
            dbname=clone.name,
            template_dbname=template,
            password=str(server["password"]),
        ),
        running_stage(postgres_server, clone, loop_thread, tmp_path_factory.mktemp("model")) as running,
    ):
        yield running


def say(text: str) -> None:
    """Tell whoever watches a long run."""
    if IS_LONG:
        print(text, flush=True)


@pytest.fixture(scope="module")
def journal() -> Iterator[Journal]:
    written = Journal(say)
    yield written
    say(written.summary())


@pytest.mark.timeout(max(900, WALKS * 4))
@pytest.mark.parametrize("part", range(PARTS))
def test_every_actor_sees_what_the_oracle_says_after_every_step(stage: Stage, journal: Journal, part: int) -> None:
    class ThisWalk(Walk):
        pass

    ThisWalk.stage = stage
    ThisWalk.journal = journal
    ThisWalk.__qualname__ = f"part {part}"
    if IS_LONG:
        seed(SEED * PARTS + part)(ThisWalk)
    before = journal.steps
    try:
        run_state_machine_as_test(
            ThisWalk,
            settings=settings(
                max_examples=-(-WALKS // PARTS),
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                derandomize=not IS_LONG,
                suppress_health_check=list(HealthCheck),
                phases=(Phase.generate, Phase.shrink),
                print_blob=IS_LONG,
            ),
        )
    except BaseException:
        journal.differences += 1
        say(
            f"a difference in part {part}: SAUTI_MODEL_WALKS={WALKS} SAUTI_MODEL_SEED={SEED} -k 'every_step and {part}'"
        )
        raise
    assert journal.steps - before > WALKS // PARTS * STEPS // 2


def test_the_oracle_speaks_about_every_relation_that_a_client_may_read(stage: Stage) -> None:
    assert set(stage.relations["authenticated"]) <= known_relations()
    assert set(stage.relations["anon"]) == PUBLIC
