"""Whatever dies, and whatever fails: calendars equal the database, no mail is lost, nobody's secret is left anywhere.

``SAUTI_CHAOS_CHANGES=2000 pytest tests/sync/test_chaos.py -s`` is the long run; the suite plays a short one.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.sync.chaos import LEASE_SECONDS, Chaos
from tests.sync.chaos_judge import judge, table

CHANGES = int(os.environ.get("SAUTI_CHAOS_CHANGES", "60"))
SEED = int(os.environ.get("SAUTI_CHAOS_SEED", "1"))


@pytest.mark.timeout(240 + CHANGES)
async def test_after_chaos_every_calendar_equals_the_database_and_no_mail_is_lost() -> None:
    folder = Path(tempfile.mkdtemp(prefix="sauti-chaos-"))
    run = Chaos(folder, CHANGES, SEED)
    try:
        await run.play()
        verdict = judge(run)
    finally:
        await run.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{table(run, verdict)}")
    assert run.is_quiet, "all jobs are settled in time"
    assert verdict.unsettled == []
    assert verdict.differences == []
    assert verdict.stale_records == []
    assert verdict.mails_lost == []
    assert verdict.unexplained_duplicates == []
    assert verdict.dead == []
    assert verdict.false_alarms == []
    assert verdict.leaks == []
    assert max(run.rescues, default=0.0) < 30, f"a lease is {LEASE_SECONDS} s"
    assert run.events["workers killed"]
    assert run.events["PostgreSQL killed"]
    assert all(mood.injected for mood in run.moods.values()), "every provider has failed"
