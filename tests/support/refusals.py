"""How the database says no."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest

#: Symbol → HTTP status, as the contract has them; the registry in the database must agree (test_errors.py).
STATUS = {
    "not_authenticated": 401,
    "not_verified": 403,
    "not_allowed": 403,
    "not_found": 404,
    "match_not_pending": 409,
    "match_expired": 409,
    "case_not_open": 409,
    "invalid_transition": 409,
    "slot_taken": 409,
    "report_withdrawn": 409,
    "outside_availability": 422,
    "in_the_past": 422,
    "invalid_duration": 422,
    "invalid_input": 422,
    "consent_required": 422,
    "too_many_requests": 429,
}


@dataclass
class Refusal:
    """What the caller was told."""

    symbol: str = ""
    details: str = ""
    hint: str = ""


@contextmanager
def refused(symbol: str) -> Iterator[Refusal]:
    """The block must end in the registered error `symbol`."""
    told = Refusal()
    with pytest.raises(psycopg.Error) as caught:
        yield told
    diagnosis = caught.value.diag
    assert (diagnosis.sqlstate, diagnosis.message_primary) == (f"PT{STATUS[symbol]}", symbol), caught.value
    told.symbol = symbol
    told.details = diagnosis.message_detail or ""
    told.hint = diagnosis.message_hint or ""
    assert told.details
    assert told.hint


@contextmanager
def forbidden() -> Iterator[None]:
    """The block must end in PostgreSQL's own refusal: no privilege, or a row-level policy."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        yield
