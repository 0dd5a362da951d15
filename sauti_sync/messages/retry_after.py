"""The header `Retry-After` (RFC 9110, 10.2.3). Pure: a date is compared with the `Date` of the same answer."""

from __future__ import annotations

from email.utils import parsedate_to_datetime


def seconds_to_wait(retry_after: str | None, date: str | None = None) -> float | None:
    """Seconds from now; None when the header is absent or makes no sense."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        # The server's own clock on both sides: ours may be wrong.
        gap = parsedate_to_datetime(text) - parsedate_to_datetime(date or "")
    except (ValueError, TypeError):
        return None
    return max(0.0, gap.total_seconds())
