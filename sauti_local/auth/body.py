"""Reading a request body: a JSON object of at most 1 MiB whose members have the expected types."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from sauti_local.auth.errors import AuthError, bad_request, validation_failed

MAX_BODY_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 100

_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def _bad_json(reason: str) -> AuthError:
    return bad_request("bad_json", f"Could not parse request body as JSON: {reason}")


def _finite(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise ValueError("number out of range")
    return value


def _no_constant(literal: str) -> float:
    raise ValueError(f"invalid literal {literal}")


def _storable(value: object, depth: int = 0) -> object:
    """The same value as PostgreSQL can hold it: no NUL (refused), no lone surrogate (replaced, as Go does)."""
    if depth > MAX_DEPTH:
        raise _bad_json("exceeded max depth")
    if isinstance(value, str):
        if "\x00" in value:
            raise validation_failed("Text must not contain NUL characters")
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {str(_storable(key)): _storable(item, depth + 1) for key, item in value.items()}
    return value


class Body:
    """The members of a JSON object, read by type. A missing member and `null` are the same."""

    def __init__(self, members: Mapping[str, object]) -> None:
        self._members = members

    def text(self, name: str) -> str:
        """The string `name`; empty when missing. Raises `bad_json` for another type."""
        return self.optional_text(name) or ""

    def optional_text(self, name: str) -> str | None:
        """The string `name`; None when missing. Raises `bad_json` for another type."""
        value = self._members.get(name)
        if value is not None and not isinstance(value, str):
            raise _bad_json(f"{name} must be a string")
        return value

    def flag(self, name: str) -> bool:
        """The boolean `name`; false when missing. Raises `bad_json` for another type."""
        value = self._members.get(name)
        if value is not None and not isinstance(value, bool):
            raise _bad_json(f"{name} must be a boolean")
        return bool(value)

    def mapping(self, name: str) -> dict[str, Any] | None:
        """The object `name`; None when missing. Raises `bad_json` for another type."""
        value = self._members.get(name)
        if value is not None and not isinstance(value, dict):
            raise _bad_json(f"{name} must be an object")
        return value


async def read_body(request: web.Request, *, may_be_empty: bool = False) -> Body:
    """Read and check the body of `request`.

    Raises:
        AuthError: `request_entity_too_large` (413), `bad_json` (400), or `validation_failed` (400) for NUL characters.
    """
    raw = bytearray()
    # Read by hand: the size limit of the surrounding gateway application is not ours.
    async for chunk in request.content.iter_any():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise AuthError(413, "request_entity_too_large", f"Request body too large (max {MAX_BODY_BYTES} bytes)")
    if not raw:
        if may_be_empty:
            return Body({})
        raise _bad_json("unexpected end of JSON input")
    try:
        value = json.loads(raw.decode(), parse_float=_finite, parse_constant=_no_constant)
    except RecursionError:
        raise _bad_json("exceeded max depth") from None
    except ValueError as error:
        raise _bad_json(str(error) if isinstance(error, json.JSONDecodeError) else "invalid value") from None
    if value is None:
        return Body({})
    if not isinstance(value, dict):
        raise _bad_json("the body must be an object")
    members = _storable(value)
    assert isinstance(members, dict)
    return Body(members)
