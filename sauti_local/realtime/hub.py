"""Who is in which topic, and what goes round in it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Protocol

from sauti_local.realtime.frames import Broadcast, Version, encode, encode_broadcast, to_json
from sauti_local.realtime.presence import Group, Presences


class Member(Hashable, Protocol):
    """A channel of a connection."""

    @property
    def version(self) -> Version:
        """The protocol version of its connection."""

    @property
    def hears_broadcasts(self) -> bool:
        """Whether broadcasts are for it."""

    @property
    def hears_presence(self) -> bool:
        """Whether changes of presence are for it."""

    def send(self, frame: str | bytes) -> None:
        """Queue a frame for the client."""


class Topic:
    """The members of a topic. A public and a private topic of one name are two."""

    def __init__(self, name: str) -> None:
        self.wire_name = f"realtime:{name}"
        self.members: dict[Member, None] = {}
        self.presences = Presences()

    def broadcast(self, broadcast: Broadcast, sender: Member | None = None) -> None:
        """Send to every member but the sender."""
        self._each(
            (member for member in self.members if member.hears_broadcasts and member is not sender),
            lambda version: encode_broadcast(version, self.wire_name, broadcast),
        )

    def broadcast_json(self, payload: str, sender: Member | None = None) -> None:
        """Send a broadcast whose payload, event and all, is JSON text as a client wrote it."""
        self._each(
            (member for member in self.members if member.hears_broadcasts and member is not sender),
            lambda version: encode(version, self.wire_name, "broadcast", payload),
        )

    def announce(self, diff: dict[str, Group] | None) -> None:
        """Send a change of presence; None is no change."""
        if diff is None:
            return
        payload = to_json(diff)
        self._each(
            (member for member in self.members if member.hears_presence),
            lambda version: encode(version, self.wire_name, "presence_diff", payload),
        )

    @staticmethod
    def _each(members: Iterable[Member], encoded: Callable[[Version], str | bytes | None]) -> None:
        frames: dict[Version, str | bytes | None] = {}
        for member in list(members):
            if member.version not in frames:
                frames[member.version] = encoded(member.version)
            frame = frames[member.version]
            if frame is not None:
                member.send(frame)


class Hub:
    """The topics that have members."""

    def __init__(self) -> None:
        self._topics: dict[tuple[str, bool], Topic] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nobody is in any topic."""
        return not self._topics

    def enter(self, name: str, private: bool, member: Member) -> Topic:
        """Make somebody a member."""
        topic = self._topics.setdefault((name, private), Topic(name))
        topic.members[member] = None
        return topic

    def leave(self, name: str, private: bool, member: Member) -> None:
        """End a membership, and the presence that came with it."""
        topic = self._topics.get((name, private))
        if topic is None or member not in topic.members:
            return
        del topic.members[member]
        topic.announce(topic.presences.untrack(member))
        if not topic.members:
            del self._topics[name, private]

    def broadcast(self, name: str, private: bool, broadcast: Broadcast) -> None:
        """Send to everybody in a topic; nobody there: nothing happens."""
        topic = self._topics.get((name, private))
        if topic is not None:
            topic.broadcast(broadcast)
