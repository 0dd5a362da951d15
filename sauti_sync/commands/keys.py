"""`sauti-sync keys generate`: keys for `SAUTI_TOKEN_KEYS`."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

from sauti_sync.credentials import TokenKeys


def generate_key(identifier: str | None = None, as_json: bool = False) -> int:
    """Print a new key as one entry of `SAUTI_TOKEN_KEYS`; gives the exit status.

    The default id is today's date, which tells an operator later how old a key is.
    """
    try:
        entry = TokenKeys.generate(identifier or datetime.now(UTC).strftime("k%Y%m%d"))
    except ValueError as error:
        print(f"sauti-sync keys: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"token_key": entry}) if as_json else entry)
    return 0
