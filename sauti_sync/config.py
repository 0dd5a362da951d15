r"""The worker's environment, read once into frozen settings that redact themselves.

| variable | default | meaning |
|---|---|---|
| `SUPABASE_URL` | required | the project, `https://….supabase.co` |
| `SUPABASE_SERVICE_ROLE_KEY` | required | service-role (secret) key |
| `SAUTI_APP_URL` | required | the link in every message and calendar entry |
| `SAUTI_SMTP_URL` | none: no mail jobs | `smtp://` or `smtps://[user:password@]host[:port]`; `?starttls=auto\|require\|never` on `smtp://`, by default `require` with a password and `auto` without |
| `SAUTI_MAIL_FROM` | required for mail | sender, `Name <address>` or an address |
| `SAUTI_BOUNCE_ADDRESS` | none: the sender | mailbox that `sauti-sync bounces` reads; mail that cannot be delivered comes back to it under a reference |
| `SAUTI_SMS_PROVIDER` | none: no SMS jobs | `africastalking` or `twilio` |
| `SAUTI_SMS_ACCOUNT`, `SAUTI_SMS_SECRET` | required for SMS | user name and API key, or account SID and auth token |
| `SAUTI_SMS_FROM` | required for Twilio | sender id, number or messaging service |
| `SAUTI_SMS_API_URL` | the provider's own | base address of the provider's API |
| `SAUTI_SMS_COUNTRY_CODE` | none | put before numbers that begin with one zero, such as `254` |
| `SAUTI_TOKEN_KEYS` | none: no calendar jobs | `id:base64[,id:base64]`, 32-byte keys, the first encrypts |
| `SAUTI_ALLOW_PRIVATE_CALDAV` | `0` | `1`: calendars may live on `http` and on private networks |
| `SAUTI_DB_URL` | none: over the Data API | a direct connection (no transaction pooler), used for the queue and its doorbell |
| `SAUTI_PROVIDER_RATES` | `google=8,microsoft=4,caldav=50,sms=10` | most jobs a second of this worker, by provider; `0` takes a limit away; for `caldav` by host |
| `SAUTI_POLL_SECONDS` | `5` | longest wait of a job when the doorbell is silent |
| `SAUTI_CONCURRENCY` | `8` | jobs in flight at once |
| `SAUTI_BATCH_SIZE` | `32` | most jobs of one claim |
| `SAUTI_LEASE_SECONDS` | `20` | how long a claim holds without a sign of life; within this and one poll interval a dead worker's jobs are rescued |
| `SAUTI_GRACE_SECONDS` | `20` | time for running jobs after SIGTERM; then they are handed back |
| `SAUTI_JOB_SECONDS` | `120` | longest run of one attempt |
| `SAUTI_LONGEST_RETRY_SECONDS` | `900` | longest pause between two attempts of a job; it begins at 2 s and doubles |
| `SAUTI_METRICS_PORT` | none: off | port of `/healthz` and `/metrics`; `0` picks a free one |
| `SAUTI_METRICS_HOST` | `127.0.0.1` | address that port is bound to |
| `SAUTI_WORKER_ID` | host and process id | name in the outbox and in the log |
| `SAUTI_GOOGLE_CLIENT_ID`, `…_CLIENT_SECRET`, `…_API_URL`, `…_OAUTH_URL` | none, Google's own | Google Calendar |
| `SAUTI_MICROSOFT_CLIENT_ID`, `…_CLIENT_SECRET`, `…_API_URL`, `…_OAUTH_URL` | none, Microsoft's own | Microsoft Graph |
| `SAUTI_PUSH_URL` | none: calendars are read by the clock | public `https` address of the Edge Functions, where Google and Microsoft tell of changes |
"""  # noqa: E501

from __future__ import annotations

import os
import re
import socket
from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sauti_sync.credentials import TokenKeys
from sauti_sync.errors import ConfigurationError
from sauti_sync.lanes import DEFAULT_RATES, parse_rates
from sauti_sync.messages.return_path import parse_mailbox
from sauti_sync.messages.sender import Sender
from sauti_sync.messages.smtp_address import SmtpAddress

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class ProjectSettings(BaseSettings):
    """How to reach the Supabase project: all that the `jobs` commands need."""

    # hide_input_in_errors: pydantic would otherwise print the refused value, which may be a key.
    model_config = SettingsConfigDict(
        env_prefix="SAUTI_", frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True,
        hide_input_in_errors=True,
    )  # fmt: skip

    supabase_url: str = Field(validation_alias="SUPABASE_URL")
    supabase_service_role_key: SecretStr = Field(validation_alias="SUPABASE_SERVICE_ROLE_KEY")

    @field_validator("supabase_url")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        return _web_address(value)

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the project is reached over the loopback interface."""
        return _is_loopback(self.supabase_url)

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment; raises ConfigurationError naming each wrong variable, never its value."""
        try:
            return cls()  # type: ignore[call-arg]  # the fields come from the environment
        except ValidationError as error:
            problems = tuple(f"{_variable(item['loc'])}: {_sentence(item['msg'])}" for item in error.errors())
        raise ConfigurationError(problems)


class BounceSettings(ProjectSettings):
    """What `sauti-sync bounces` needs."""

    bounce_address: str

    @field_validator("bounce_address")
    @classmethod
    def _is_mailbox(cls, value: str) -> str:
        parse_mailbox(value)
        return value


class WorkerSettings(ProjectSettings):
    """Everything of the table above."""

    app_url: str
    smtp_url: SecretStr | None = None
    mail_from: str | None = None
    bounce_address: str | None = None
    sms_provider: Literal["africastalking", "twilio"] | None = None
    sms_account: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    sms_secret: SecretStr | None = None
    sms_from: str | None = Field(default=None, pattern=r"^[A-Za-z0-9+ ]{1,40}$")
    sms_api_url: str | None = None
    sms_country_code: str | None = Field(default=None, pattern=r"^[1-9][0-9]{0,2}$")
    provider_rates: Annotated[dict[str, float], NoDecode] = Field(default_factory=lambda: dict(DEFAULT_RATES))
    db_url: SecretStr | None = None
    token_keys: SecretStr | None = None
    allow_private_caldav: bool = False

    poll_seconds: Seconds = 5.0
    concurrency: int = Field(default=8, ge=1, le=1000)
    batch_size: int = Field(default=32, ge=1, le=1000)
    lease_seconds: int = Field(default=20, ge=1, le=3600)
    grace_seconds: float = Field(default=20.0, ge=0, le=3600)
    job_seconds: Seconds = 120.0
    longest_retry_seconds: Seconds = 900.0
    metrics_port: int | None = Field(default=None, ge=0, le=65_535)
    metrics_host: str = "127.0.0.1"
    worker_id: str = Field(default_factory=lambda: _process_name(), min_length=1, max_length=100)

    google_client_id: str | None = None
    google_client_secret: SecretStr | None = None
    google_api_url: str | None = None
    google_oauth_url: str | None = None
    microsoft_client_id: str | None = None
    microsoft_client_secret: SecretStr | None = None
    microsoft_api_url: str | None = None
    microsoft_oauth_url: str | None = None
    push_url: str | None = None

    @field_validator(
        "app_url", "sms_api_url", "google_api_url", "google_oauth_url", "microsoft_api_url", "microsoft_oauth_url"
    )
    @classmethod
    def _are_web_addresses(cls, value: str | None) -> str | None:
        return None if value is None else _web_address(value)

    @field_validator("push_url")
    @classmethod
    def _is_told_in_secret(cls, value: str | None) -> str | None:
        if value is None:
            return None
        address = _web_address(value)
        if not address.startswith("https:") and not _is_loopback(address):
            raise ValueError("expected an https address: channel tokens travel to it")
        return address

    @field_validator("provider_rates", mode="before")
    @classmethod
    def _are_rates(cls, value: str | dict[str, float]) -> dict[str, float]:
        return DEFAULT_RATES | parse_rates(value) if isinstance(value, str) else value

    @field_validator("token_keys")
    @classmethod
    def _are_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            TokenKeys.parse(value.get_secret_value())
        return value

    @field_validator("smtp_url")
    @classmethod
    def _is_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            SmtpAddress.parse(value.get_secret_value())
        return value

    @field_validator("bounce_address")
    @classmethod
    def _is_mailbox(cls, value: str | None) -> str | None:
        if value is not None:
            parse_mailbox(value)
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_sender(cls, value: str | None) -> str | None:
        if value is not None:
            Sender.parse(value)
        return value

    @model_validator(mode="after")
    def _mail_has_a_sender(self) -> Self:
        if self.smtp_url is not None and self.mail_from is None:
            raise ValueError("SAUTI_MAIL_FROM is needed together with SAUTI_SMTP_URL")
        return self

    @model_validator(mode="after")
    def _sms_has_an_account(self) -> Self:
        if self.sms_provider is not None and (self.sms_account is None or self.sms_secret is None):
            raise ValueError("SAUTI_SMS_ACCOUNT and SAUTI_SMS_SECRET are needed together with SAUTI_SMS_PROVIDER")
        if self.sms_provider == "twilio" and self.sms_from is None:
            raise ValueError("SAUTI_SMS_FROM is needed with twilio")
        return self


def _process_name() -> str:
    return f"{socket.gethostname()[:80]}-{os.getpid()}"


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f\x7f<>\"]", value):
        raise ValueError("expected an http or https address")
    return value.rstrip("/")


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "environment"
    return name if not location or name.isupper() else f"SAUTI_{name.upper()}"


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")
