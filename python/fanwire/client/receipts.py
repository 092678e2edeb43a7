"""Which messages to this client alone have come, and which of them the application has processed. Pure."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["MAX_REMEMBERED", "Receipts"]

MAX_REMEMBERED = 1024
"""Ids remembered: a server sends again only what it has no `ack` for, and that is bounded by what may wait for one
connection."""


class Receipts:
    """The ids of messages that want an `ack`, the newest `MAX_REMEMBERED` of them."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: OrderedDict[str, bool] = OrderedDict()

    def arrived(self, key: str) -> bool:
        """A message has come. Returns whether it is new."""
        if key in self._ids:
            self._ids.move_to_end(key)
            return False
        self._note(key, False)
        return True

    def dropped(self, key: str) -> None:
        """The application does not get the message: if it comes again, it is new."""
        self._ids.pop(key, None)

    def processed(self, key: str) -> bool:
        """The application has processed the message. Returns whether it was not processed before."""
        if self._ids.get(key) is True:
            return False
        self._note(key, True)
        return True

    def is_processed(self, key: str) -> bool:
        """Whether the application has processed the message."""
        return self._ids.get(key, False)

    def _note(self, key: str, is_processed: bool) -> None:
        self._ids[key] = is_processed
        self._ids.move_to_end(key)
        if len(self._ids) > MAX_REMEMBERED:
            self._ids.popitem(last=False)
