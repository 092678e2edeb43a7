"""The last number received from each sender, for each name: it tells which messages come twice or late. Pure."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["ReceivedNumbers"]


class ReceivedNumbers:
    """Remembers the last number of each sender. Bounded by `most` names and `SENDERS` senders of each.

    Args:
        most: names that are remembered. Beyond it the least recently used name is forgotten.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: OrderedDict[str, dict[int, int]] = OrderedDict()

    def is_new(self, name: str, sender: int, number: int) -> bool:
        """Notes a number. False: it is not above the sender's last one. 0 means no number, and is always new."""
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
            # The oldest, of a node that is gone.
            del senders[next(iter(senders))]
        senders[sender] = number
        return True

    def forget(self, name: str) -> None:
        """Removes a name."""
        self._names.pop(name, None)


SENDERS = 1024
"""The most senders that are remembered for each name."""
