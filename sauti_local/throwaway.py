"""Databases of a hosted project's shape on a server that lives as long as a ``with`` block."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sauti_local.postgres import Postgres


@contextmanager
def databases(*names: str) -> Iterator[tuple[str, ...]]:
    """Start a server, make the databases as they are before the first migration, give their addresses (``postgres``).

    Runs an event loop of its own: not to be called from inside another.
    """
    with tempfile.TemporaryDirectory(prefix="sauti-throwaway-") as folder:
        server = Postgres(Path(folder) / "data", throwaway=True)
        try:
            asyncio.run(_prepare(server, names))
            yield tuple(server.url(name) for name in names)
        finally:
            asyncio.run(server.stop())


async def _prepare(server: Postgres, names: tuple[str, ...]) -> None:
    await server.start()
    await server.prepare_cluster()
    for name in names:
        await server.create_database(name, "template0")
        await server.prepare_database(name)
