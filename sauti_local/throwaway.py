"""Databases of a hosted project's shape on a server that lives as long as a ``with`` block."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sauti_local.postgres import Postgres


@contextmanager
def server(binaries: Path | None = None) -> Iterator[Postgres]:
    """Start a server with the roles of a hosted project; it and its data are gone when the block ends.

    Runs event loops of its own: not to be entered from inside another. ``binaries`` as in `Postgres`.
    """
    with tempfile.TemporaryDirectory(prefix="sauti-throwaway-") as folder:
        postgres = Postgres(Path(folder) / "data", binaries=binaries, throwaway=True)
        try:
            asyncio.run(postgres.start())
            asyncio.run(postgres.prepare_cluster())
            yield postgres
        finally:
            asyncio.run(postgres.stop())


def new_database(postgres: Postgres, name: str) -> str:
    """Make a database as a hosted project's is before its first migration; gives its address for ``postgres``."""
    asyncio.run(postgres.create_database(name, "template0"))
    asyncio.run(postgres.prepare_database(name))
    return postgres.url(name)


@contextmanager
def database(name: str = "truth") -> Iterator[str]:
    """Start a server with one such database and give its address."""
    with server() as postgres:
        yield new_database(postgres, name)
