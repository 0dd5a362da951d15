"""What can go wrong while the local stack starts; every message says what to do.

StackError
├── MissingPart    a program that the set-up should have brought is not there
├── PortBusy       somebody else listens on a port that was asked for by number
├── DataDirBusy    another stack is using the data directory
└── StartFailed    a part of the stack ended, or did not become ready in time
"""

from __future__ import annotations


class StackError(Exception):
    """The local stack cannot run; the message is meant for the person who started it."""


class MissingPart(StackError):
    """A program that the set-up should have brought is not there."""


class PortBusy(StackError):
    """Somebody else listens on a port that was asked for by number."""


class DataDirBusy(StackError):
    """Another stack is using the data directory."""


class StartFailed(StackError):
    """A part of the stack ended, or did not become ready in time."""
