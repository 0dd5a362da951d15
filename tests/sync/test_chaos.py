"""Whatever dies, and whatever fails: calendars equal the database, no mail is lost, nobody's secret is left anywhere.

``SAUTI_CHAOS_CHANGES=2000 pytest tests/sync/test_chaos.py -s`` is the long run; the suite plays a short one.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.sync.chaos import LEASE_SECONDS, Chaos

CHANGES = int(os.environ.get("SAUTI_CHAOS_CHANGES", "60"))
SEED = int(os.environ.get("SAUTI_CHAOS_SEED", "1"))


@pytest.mark.timeout(120 + CHANGES)
async def test_after_chaos_every_calendar_equals_the_database_and_no_mail_is_lost() -> None:
    folder = Path(tempfile.mkdtemp(prefix="sauti-chaos-"))
    try:
        report = await Chaos(folder, CHANGES, SEED).play()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(report))
    assert report["kills"].get("worker", 0) >= 1
    assert report["google_faults"] > 0
    assert report["wrong_calendars"] == []
    assert report["dead_jobs"] == {}
    assert report["unsettled_jobs"] == []
    assert report["mails_lost"] == 0
    assert report["leaks"] == []
    assert report["longest_rescue"] < 30, f"a lease is {LEASE_SECONDS} s"
