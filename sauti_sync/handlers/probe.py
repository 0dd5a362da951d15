"""Jobs of kind `probe`: nothing is done, and that a worker does it is the news."""

from __future__ import annotations

from sauti_sync.events import Json, Lease


class ProbeHandler:
    """Answers the doctor."""

    async def handle(self, context: Json, lease: Lease) -> Json:
        """Do nothing."""
        return {"outcome": "seen"}

    async def close(self) -> None:
        """Nothing is held open."""
