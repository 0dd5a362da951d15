"""`keys generate`, and what the commands say when they cannot."""

import json

import pytest

from sauti_sync.commands.jobs import list_jobs, retry_jobs
from sauti_sync.commands.keys import generate_key
from sauti_sync.credentials import TokenKeys


def test_a_generated_key_is_one_that_the_worker_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate_key("k1") == 0
    assert TokenKeys.parse(capsys.readouterr().out.strip()).first == "k1"
    assert generate_key(as_json=True) == 0
    assert TokenKeys.parse(json.loads(capsys.readouterr().out)["token_key"]).first.startswith("k20")


def test_two_generated_keys_differ(capsys: pytest.CaptureFixture[str]) -> None:
    generate_key("k")
    generate_key("k")
    first, second = capsys.readouterr().out.split()
    assert first != second


def test_a_key_id_that_would_break_the_list_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate_key("a:b,c") == 2
    assert capsys.readouterr().out == ""


def test_jobs_without_an_environment_name_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SUPABASE_URL", raising=False)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "canary")
    assert list_jobs() == 1
    assert retry_jobs([1]) == 1
    said = capsys.readouterr().err
    assert "SUPABASE_URL" in said
    assert "canary" not in said


def test_jobs_of_a_project_that_is_away_say_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "canary")
    assert list_jobs("dead") == 1
    assert "queue_unavailable" in capsys.readouterr().err
