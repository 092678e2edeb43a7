"""Ids of messages that were done already, and what was answered. Bounded: the oldest are forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

__all__ = ["Seen"]


class Seen:
    """What was answered to each id, for each owner.

    Args:
        max_ids: of one owner: more than a client has under way.
        max_owners: owners that are remembered, the most recent.
    """

    def __init__(self, max_ids: int = 1024, max_owners: int = 10_000) -> None:
        self._max_ids = max_ids
        self._max_owners = max_owners
        self._owners: OrderedDict[Hashable, OrderedDict[str, Any]] = OrderedDict()

    def find(self, owner: Hashable, id: str) -> Any:
        """What was answered; None if the id is new or was forgotten."""
        ids = self._owners.get(owner)
        return None if ids is None else ids.get(id)

    def note(self, owner: Hashable, id: str, answer: Any) -> None:
        """Remembers an answer."""
        ids = self._owners.setdefault(owner, OrderedDict())
        self._owners.move_to_end(owner)
        ids[id] = answer
        if len(ids) > self._max_ids:
            ids.popitem(last=False)
        if len(self._owners) > self._max_owners:
            self._owners.popitem(last=False)
