"""Who is tracked in a topic: state only, no I/O."""

from __future__ import annotations

import secrets
from collections.abc import Hashable
from typing import Any

Meta = dict[str, Any]
Group = dict[str, dict[str, list[Meta]]]


def _group(key: str, meta: Meta) -> Group:
    return {key: {"metas": [meta]}}


class Presences:
    """The presences of one topic: one per owner, which is a channel of a connection.

    A diff is ``{"joins": group, "leaves": group}``, a group ``{key: {"metas": [{"phx_ref", …}]}}``.
    """

    def __init__(self) -> None:
        self._tracked: dict[Hashable, tuple[str, Meta]] = {}

    def __bool__(self) -> bool:
        return bool(self._tracked)

    def track(self, owner: Hashable, key: str, payload: dict[str, Any]) -> dict[str, Group] | None:
        """Say what `owner` is; None when that is what it said before."""
        before = self._tracked.get(owner)
        meta: Meta = {**payload, "phx_ref": secrets.token_urlsafe(9)}
        leaves: Group = {}
        if before is not None:
            said = {name: value for name, value in before[1].items() if name not in ("phx_ref", "phx_ref_prev")}
            if said == payload:
                return None
            meta["phx_ref_prev"] = before[1]["phx_ref"]
            leaves = _group(*before)
        self._tracked[owner] = (key, meta)
        return {"joins": _group(key, meta), "leaves": leaves}

    def untrack(self, owner: Hashable) -> dict[str, Group] | None:
        """Forget `owner`; None when it was not tracked."""
        before = self._tracked.pop(owner, None)
        return None if before is None else {"joins": {}, "leaves": _group(*before)}

    def state(self) -> Group:
        """Everybody, as one group."""
        group: Group = {}
        for key, meta in self._tracked.values():
            group.setdefault(key, {"metas": []})["metas"].append(meta)
        return group
