"""What each request must do, by the contract; shares no code with the SQL.

Each method foretells one request that the server has answered, and gives back what the answer must be: rows, a plain
value, or `Refused` with the symbols of every rule that the request breaks.
"""

from __future__ import annotations

from tests.model.leaving_rules import LeavingRules


class Oracle(LeavingRules):
    """All rules: matching, time, cases, forgetting."""
