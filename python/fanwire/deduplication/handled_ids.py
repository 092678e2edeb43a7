"""The ids of handled messages, with their answers. Bounded: the oldest are forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from fanwire.protocol.table import IDS_REMEMBERED

__all__ = ["HandledIds"]


class HandledIds:
    """Remembers the answer to each id, for each owner.

    Args:
        max_ids: ids of one owner: more than a client can have unanswered.
        max_owners: owners that are remembered, the most recent.
        max_total: ids of all owners: 100 MB at 217 bytes each. Beyond it the least recently used owner is forgotten,
            which has no request under way any more.
    """

    def __init__(self, max_ids: int = IDS_REMEMBERED, max_owners: int = 10_000, max_total: int = 500_000) -> None:
        self._max_ids = max_ids
        self._max_owners = max_owners
        self._max_total = max_total
        self._total = 0
        self._owners: OrderedDict[Hashable, OrderedDict[str, Any]] = OrderedDict()

    def find(self, owner: Hashable, id: str) -> Any:
        """Returns the answer; None: the id is new, or was forgotten."""
        ids = self._owners.get(owner)
        return None if ids is None else ids.get(id)

    def note(self, owner: Hashable, id: str, answer: Any) -> None:
        """Remembers an answer."""
        ids = self._owners.setdefault(owner, OrderedDict())
        self._owners.move_to_end(owner)
        self._total += id not in ids
        ids[id] = answer
        if len(ids) > self._max_ids:
            ids.popitem(last=False)
            self._total -= 1
        while len(self._owners) > self._max_owners or (self._total > self._max_total and len(self._owners) > 1):
            _, forgotten = self._owners.popitem(last=False)
            self._total -= len(forgotten)
