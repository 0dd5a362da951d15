"""Settings: what the environment must hold, and what never shows of it."""

import pytest

from sauti_sync.config import ProjectSettings, WorkerSettings
from sauti_sync.credentials import TokenKeys
from sauti_sync.errors import ConfigurationError

KEYS = TokenKeys.generate("k")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    values = {
        "SUPABASE_URL": "https://project.supabase.co/",
        "SUPABASE_SERVICE_ROLE_KEY": "canary.service.key",
        "SAUTI_APP_URL": "https://app.example",
        "SAUTI_SMTP_URL": "smtps://user:canary-smtp@mail.example",
        "SAUTI_MAIL_FROM": "Appointments <no-reply@app.example>",
        "SAUTI_TOKEN_KEYS": KEYS,
        "SAUTI_GOOGLE_CLIENT_SECRET": "canary-google",
        "SAUTI_MICROSOFT_CLIENT_SECRET": "canary-microsoft",
    }
    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(f"SAUTI_{name.upper()}", raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


def test_the_environment_of_the_contract_is_read(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAUTI_POLL_SECONDS", "0.5")
    monkeypatch.setenv("SAUTI_CONCURRENCY", "3")
    monkeypatch.setenv("SAUTI_ALLOW_PRIVATE_CALDAV", "1")
    monkeypatch.setenv("SAUTI_GOOGLE_CLIENT_ID", "")
    settings = WorkerSettings.from_environment()
    assert settings.supabase_url == "https://project.supabase.co"
    assert settings.supabase_service_role_key.get_secret_value() == "canary.service.key"
    assert (settings.poll_seconds, settings.concurrency, settings.allow_private_caldav) == (0.5, 3, True)
    assert settings.google_client_id is None
    assert settings.lease_seconds == 20


def test_secrets_do_not_show_in_repr_dump_or_format(environment: dict[str, str]) -> None:
    settings = WorkerSettings.from_environment()
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "canary" not in shown
    assert KEYS.partition(":")[2] not in shown


def test_settings_are_frozen(environment: dict[str, str]) -> None:
    settings = WorkerSettings.from_environment()
    with pytest.raises(ValueError, match="frozen"):
        settings.app_url = "https://elsewhere.example"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUPABASE_URL", "canary://x"),
        ("SUPABASE_URL", "https://canary\r\nx"),
        ("SAUTI_APP_URL", "javascript:canary"),
        ("SAUTI_SMTP_URL", "http://canary"),
        ("SAUTI_SMTP_URL", "smtp://u:canary@h:notaport"),
        ("SAUTI_SMTP_URL", "smtp://h?starttls=canary"),
        ("SAUTI_TOKEN_KEYS", "k:canary"),
        ("SAUTI_MAIL_FROM", "canary"),
        ("SAUTI_MAIL_FROM", "canary@a.example\nBcc: x@b.example"),
        ("SAUTI_POLL_SECONDS", "canary"),
        ("SAUTI_POLL_SECONDS", "0"),
        ("SAUTI_POLL_SECONDS", "nan"),
        ("SAUTI_CONCURRENCY", "0"),
        ("SAUTI_METRICS_PORT", "70000"),
        ("SAUTI_PUSH_URL", "http://canary.example/functions/v1"),
        ("SAUTI_PUSH_URL", "canary"),
    ],
)
def test_a_wrong_variable_is_named_and_its_value_is_not(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refusal:
        WorkerSettings.from_environment()
    assert name in str(refusal.value)
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize("name", ["SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "SAUTI_APP_URL"])
def test_a_missing_variable_is_named(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError, match=name):
        WorkerSettings.from_environment()


def test_mail_without_a_sender_is_refused(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAUTI_MAIL_FROM")
    with pytest.raises(ConfigurationError, match="SAUTI_MAIL_FROM"):
        WorkerSettings.from_environment()


@pytest.mark.parametrize(
    ("url", "local"),
    [("http://127.0.0.1:54321", True), ("http://localhost:1", True), ("http://[::1]:1", True),
     ("https://project.supabase.co", False), ("http://10.0.0.1", False), ("http://127.0.0.1.example", False)],
)  # fmt: skip
def test_only_loopback_is_this_machine(url: str, local: bool) -> None:
    settings = ProjectSettings(supabase_url=url, supabase_service_role_key="k")  # type: ignore[arg-type]
    assert settings.is_on_this_machine is local
