"""What `events` returns: events that wait behind no message first, then messages of each link with what follows them,
then newcomers."""

from __future__ import annotations

from collections import deque
from typing import Any

from helpers.fake.message import Frame

Event = tuple[str, int, Any]
Heard = Frame | tuple[Frame, float] | tuple[int, int]
"""A message of a client; one that came too fast with the seconds to wait; or how many were refused already, and their
bytes."""

FOLLOWS = frozenset({"closed", "parked", "peer_closed", "broke"})
"""Events that come behind the messages of their link."""


class FairQueue:
    """What waits for the host."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._links: dict[int, deque[Event | Heard]] = {}
        self._newcomers: dict[int, Event] = {}

    def __bool__(self) -> bool:
        return bool(self._events or self._links or self._newcomers)

    def push(self, kind: str, link: int, detail: Any) -> None:
        """Adds an event."""
        waiting = self._links.get(link) if kind in FOLLOWS else None
        if waiting is None:
            self._events.append((kind, link, detail))
        else:
            waiting.append((kind, link, detail))

    def push_message(self, link: int, message: Heard) -> None:
        """Adds a message."""
        self._links.setdefault(link, deque()).append(message)

    def waits(self, link: int) -> bool:
        """Whether messages of a link wait."""
        return link in self._links

    def ask(self, request: int, detail: Any) -> None:
        """A newcomer asks to come in."""
        self._newcomers[request] = ("request", request, detail)

    def gone(self, request: int) -> None:
        """A newcomer has gone. That is told if the newcomer was."""
        if self._newcomers.pop(request, None) is None:
            self._events.append(("gone", request, None))

    def take(self, most: int) -> list[Event]:
        """Takes events, and about `most` messages: a few of each link, and then of the next."""
        taken, self._events = self._events, []
        count = 0
        while self._links and count < most:
            link = next(iter(self._links))
            items = self._links.pop(link)
            messages, followed = self._share(items, SHARE if self._links else max(SHARE, most // 4))
            if messages:
                taken.append(("messages", link, (sum(map(size_of, messages)), messages)))
            taken += followed
            count += max(len(messages), 1)
            if items:
                self._links[link] = items
        for request in list(self._newcomers)[:NEWCOMERS]:
            taken.append(self._newcomers.pop(request))
        return taken

    def _share(self, items: deque[Event | Heard], share: int) -> tuple[list[Heard], list[Event]]:
        messages: list[Heard] = []
        while items and len(messages) < share:
            item = items.popleft()
            if is_event(item):
                return messages, [item]
            messages.append(item)
        return messages, []


def is_event(item: Event | Heard) -> Any:
    """Whether it is one: a message that came too fast is a pair."""
    return isinstance(item, tuple) and len(item) == 3


def size_of(message: Heard) -> int:
    """Bytes of a message."""
    frame = message[0] if isinstance(message, tuple) else message
    if isinstance(frame, int):
        # They were not kept.
        return 0
    return len(frame.encode() if isinstance(frame, str) else frame)


SHARE = 8
"""Messages of one link before those of the next."""

NEWCOMERS = 4
"""Newcomers that the host is told of at once."""
