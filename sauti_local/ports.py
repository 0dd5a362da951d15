"""TCP ports on the loopback address."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

from sauti_local.errors import PortBusy

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listened on a moment ago. Whoever binds it must be ready to lose the race and ask again."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def bound_socket(port: int, purpose: str, option: str) -> Iterator[socket.socket]:
    """A socket that has the port from now on, and listens when somebody tells it to; 0 picks a free port.

    Raises:
        PortBusy: somebody listens on it, or this user may not bind it.
    """
    with socket.socket() as bound:
        # As servers do: connections of a former run that linger in TIME_WAIT are no obstacle.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((LOOPBACK, port))
            if port:
                # Two sockets may be bound with SO_REUSEADDR as long as neither listens.
                bound.listen()
        except (OSError, OverflowError) as error:
            raise PortBusy(
                f"Port {port} for {purpose} cannot be used ({getattr(error, 'strerror', None) or error}). "
                f"Stop what is using it, or choose another with {option} ({option} 0 picks a free one)."
            ) from None
        yield bound


def require_free(port: int, purpose: str, option: str) -> None:
    """Refuse a port that is taken.

    Raises:
        PortBusy: somebody listens on it, or this user may not bind it.
    """
    with bound_socket(port, purpose, option):
        pass


def is_free(port: int) -> bool:
    """Whether the port could be bound a moment ago."""
    try:
        require_free(port, "", "")
    except PortBusy:
        return False
    return True


async def is_listening(port: int) -> bool:
    """Whether somebody accepts connections on the loopback port now."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True
