"""The benchmarks run: one question, quickly, for its shape and not for its figures, which depend on the machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sauti_local.paths import ROOT


@pytest.mark.timeout(180)
def test_bench_measures_and_says_what_was_aimed_for() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "sauti_sync", "bench", "--quick", "--json", "acceptance"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    results = json.loads(finished.stdout)
    assert finished.returncode == int(any(result["held"] is False for result in results)), finished.stderr
    (comparison,) = [result for result in results if result["unit"] == "x"]
    assert comparison["aim"] == 2.0
    assert all(result["value"] > 0 for result in results)


def test_bench_refuses_a_question_that_nobody_asks() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "sauti_sync", "bench", "weather"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert "weather" in finished.stderr
