"""Texts of messages. Pure: a template name, a language and a few neutral facts in; subject, plain text, HTML, SMS out.

The facts that a text can hold are the fields of `Facts`; there is no way to pass it a name, a service or a story.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from sauti_sync.errors import Permanent
from sauti_sync.ics import Wording

_FOLDER = Path(__file__).parent.parent / "templates"
_FALLBACK = "en"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a message may say besides its fixed sentence."""

    link: str
    case_code: str | None = None
    starts_at: datetime | None = None
    time_zone: str | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """One rendered message; `language` is the one it is written in. `sms` is one line."""

    language: str
    subject: str
    plain: str
    html: str
    sms: str


def render(template: str, locale: str, facts: Facts) -> Text:
    """Render a message; raises Permanent `template_unknown`."""
    language = language_of(locale)
    words = _words(language)
    message = words["messages"].get(template)
    if message is None:
        raise Permanent("template_unknown")
    values = {
        "language": language,
        "words": words,
        "subject": message["subject"],
        "lead": message["lead"],
        "moment": format_moment(facts.starts_at, facts.time_zone, language) if facts.starts_at else None,
        "short_moment": format_short_moment(facts.starts_at, facts.time_zone, language) if facts.starts_at else None,
        "case_code": facts.case_code,
        "link": facts.link,
    }
    layouts = _layouts()
    return Text(
        language=language,
        subject=message["subject"],
        plain=layouts.get_template("message.txt.j2").render(values),
        html=layouts.get_template("message.html.j2").render(values),
        sms=layouts.get_template("message.sms.j2").render(values).strip(),
    )


def wording(locale: str, link: str) -> Wording:
    """The words of a calendar entry."""
    words = _words(language_of(locale))
    return Wording(title=words["title"], case=words["case"], link=link)


def format_moment(moment: datetime, time_zone: str | None, language: str) -> str:
    """A time in the reader's zone, with the zone and its offset: "Monday 23 November 2026, 14:00 (…, UTC+03:00)"."""
    local = moment.astimezone(_zone(time_zone))
    name = local.tzinfo.key if isinstance(local.tzinfo, ZoneInfo) else "UTC"
    shift = _offset(local)
    zone = shift if name == "UTC" else f"{name}, {shift}"
    return f"{_formatted(local, 'long', language)} ({zone})"


def format_short_moment(moment: datetime, time_zone: str | None, language: str) -> str:
    """The same for a small screen: "Mon 23 Nov, 14:00 (UTC+03:00)"."""
    local = moment.astimezone(_zone(time_zone))
    return f"{_formatted(local, 'short', language)} ({_offset(local)})"


def _formatted(local: datetime, length: str, language: str) -> str:
    pattern = _words(language)["dates"][length]
    return format_datetime(local, pattern, tzinfo=local.tzinfo, locale=language.replace("-", "_"))


def _offset(local: datetime) -> str:
    offset = local.strftime("%z")
    return "UTC" if offset in ("+0000", "-0000") else f"UTC{offset[:3]}:{offset[3:5]}"


@cache
def languages() -> tuple[str, ...]:
    """The languages there are texts for, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def templates(language: str) -> tuple[str, ...]:
    """The messages there are texts for in one language, sorted."""
    return tuple(sorted(_words(language)["messages"]))


def language_of(locale: str) -> str:
    """The best language there is for a locale such as `sw-KE`; English when there is none."""
    candidates = (locale.replace("_", "-").lower(), locale.replace("_", "-").partition("-")[0].lower())
    return next((candidate for candidate in candidates if candidate in languages()), _FALLBACK)


@cache
def _words(language: str) -> Mapping[str, Any]:
    return tomllib.loads((_FOLDER / f"{language}.toml").read_text(encoding="utf-8"))


@cache
def _layouts() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ValueError, OSError, LookupError):  # an unknown zone must not keep a message from being sent
        return UTC
