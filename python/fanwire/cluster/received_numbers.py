"""The last number that has come of each sender, for each name. What comes twice or late is known by it. Pure."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Numbers"]


class Numbers:
    """See the module's head.

    Args:
        most: names that are remembered; beyond it the one that was heard of least recently is forgotten.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: OrderedDict[str, dict[int, int]] = OrderedDict()

    def is_new(self, name: str, sender: int, number: int) -> bool:
        """Notes a number. False if it is not above the last of that sender. 0 is no number, and always new."""
        if number == 0:
            return True
        senders = self._names.get(name)
        if senders is None:
            senders = self._names[name] = {}
            if len(self._names) > self._most:
                self._names.popitem(last=False)
        else:
            self._names.move_to_end(name)
        if number <= senders.get(sender, 0):
            return False
        if sender not in senders and len(senders) >= SENDERS:
            # Nodes that came and went.
            del senders[next(iter(senders))]
        senders[sender] = number
        return True

    def forget(self, name: str) -> None:
        """Nobody here is interested in the name any more."""
        self._names.pop(name, None)


SENDERS = 1024
"""Senders that are remembered for each name."""
