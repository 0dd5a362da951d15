"""TCP ports on the loopback address."""

from __future__ import annotations

import asyncio
import socket
import time

from sauti_local.errors import PortBusy

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listened on a moment ago. Whoever binds it must be ready to lose the race and ask again."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, purpose: str, option: str) -> None:
    """Refuse a port that is taken.

    Raises:
        PortBusy: somebody listens on it, or this user may not bind it.
    """
    with socket.socket() as probe:
        # As servers do: connections of a former run that linger in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise PortBusy(
                f"Port {port} for {purpose} cannot be used ({error.strerror}). "
                f"Stop what is using it, or choose another with {option} ({option} 0 picks a free one)."
            ) from None


async def is_listening(port: int) -> bool:
    """Whether somebody accepts connections on the loopback port now."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


def deadline(seconds: float) -> float:
    """The monotonic time `seconds` from now."""
    return time.monotonic() + seconds
