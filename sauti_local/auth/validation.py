"""Rules for addresses, passwords and durations, with GoTrue's messages."""

from __future__ import annotations

import datetime
import re
from typing import Final

from sauti_local.auth.errors import WeakPasswordError, validation_failed
from sauti_local.auth.settings import AuthSettings

MAX_EMAIL_LENGTH: Final = 255
MAX_NAME_LENGTH: Final = 255
# bcrypt looks at no more than this.
MAX_PASSWORD_BYTES: Final = 72

# The address form of HTML's <input type=email>.
_LABEL: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL: Final = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*")
_E164: Final = re.compile(r"[1-9][0-9]{1,14}")
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_UNIT_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
# A Go duration is a 64-bit count of nanoseconds.
_MAX_DURATION_SECONDS: Final = (2**63 - 1) / 1e9


def checked_email(email: str) -> str:
    """The address in lower case. Raises `validation_failed`."""
    if len(email) > MAX_EMAIL_LENGTH:
        raise validation_failed("An email address is too long")
    if not _EMAIL.fullmatch(email):
        raise validation_failed("Unable to validate email address: invalid format")
    return email.lower()


def bare_phone(phone: str) -> str:
    """The number without its plus and spaces, as it is stored."""
    return phone.removeprefix("+").replace(" ", "")


def checked_phone(phone: str) -> str:
    """The E.164 number without its plus. Raises `validation_failed`."""
    number = bare_phone(phone)
    if not _E164.fullmatch(number):
        raise validation_failed("Invalid phone number format (E.164 required)")
    return number


def check_password_length(password: str) -> None:
    """Refuse what bcrypt would cut. Raises `validation_failed`."""
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        raise validation_failed(f"Password cannot be longer than {MAX_PASSWORD_BYTES} characters")


def check_password_strength(password: str, settings: AuthSettings) -> None:
    """Refuse passwords that are too long or too short. Raises `validation_failed` or `weak_password`."""
    check_password_length(password)
    if len(password.encode()) < settings.password_min_length:
        message = f"Password should be at least {settings.password_min_length} characters."
        raise WeakPasswordError(message, ["length"])


def checked_name(value: str, field: str) -> str:
    """A short text such as a role. Raises `validation_failed` when the column could not hold it."""
    if len(value) > MAX_NAME_LENGTH:
        raise validation_failed(f"{field} is too long")
    return value.strip()


def ban_ends(duration: str, now: datetime.datetime) -> datetime.datetime | None:
    """When a ban of a Go duration such as `1h30m` ends; None for `none` or zero. Raises `validation_failed`."""
    if duration == "none":
        return None
    parts = list(_DURATION.finditer(duration))
    if not parts or "".join(part.group() for part in parts) != duration:
        raise validation_failed("invalid format for ban duration")
    seconds = sum(float(part[1]) * _UNIT_SECONDS[part[2]] for part in parts)
    if seconds > _MAX_DURATION_SECONDS:
        raise validation_failed("invalid format for ban duration")
    return now + datetime.timedelta(seconds=seconds) if seconds else None
