"""One peer: what has reached it, and what it does."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from helpers.fake.message import Frame


class Doings(Protocol):
    """Who is told what a peer does."""

    def heard(self, link: Link, frame: Frame, wait: float | None) -> None: ...
    def refused(self, link: Link, count: int, size: int) -> None: ...
    def peer_closes(self, link: Link, code: int | None, reason: str) -> None: ...
    def lose(self, link: Link, cause: str) -> None: ...
    def breaks(self, link: Link, code: int, reason: str) -> None: ...
    def writable(self, link: Link) -> None: ...


class Link:
    """A connection as its peer sees it.

    Args:
        request: its id as a newcomer.
        doings: see `Doings`.
        transport: "websocket", "sse" or "long-poll".
        answers: it answers a close frame with one at once, as real clients do.

    Attributes:
        request: its id as a newcomer.
        id: its name in events, once it was let in.
        transport: see above.
        is_one_way: the client's messages come by other requests.
        has_poll: a poll waits for its answer, if the client polls.
        frames: messages that it has got and a test has not looked at; not those that answer a poll.
        control: envelopes that wait while it reads nothing; they go ahead of messages.
        refusal: status, headers and reason, if it was refused.
        farewell: code and reason of the close frame that it has got.
        has_closed: it has sent a close frame.
        is_over: the engine has ended it.
    """

    def __init__(self, request: int, doings: Doings, answers: bool, transport: str = "websocket") -> None:
        self.request = request
        self.transport = transport
        self.is_one_way = transport != "websocket"
        self.has_poll = False
        self.id = 0
        self.slot = 0
        self.frames: deque[Frame] = deque()
        self.control: deque[Frame] = deque()
        self.refusal: tuple[int, list[str], str] | None = None
        self.farewell: tuple[int | None, str] | None = None
        # The client of a one-way link sends no close frame.
        self.has_closed = self.is_one_way
        self.is_stalled = False
        self.is_over = False
        self._doings = doings
        self._answers = answers

    # What a peer does.

    def says(self, frame: Frame, wait: float | None = None) -> None:
        """Sends a message; `wait`: it is too fast by so many seconds."""
        self._doings.heard(self, frame, wait)

    def floods(self, count: int, size: int) -> None:
        """Sends so many messages, of so many bytes, that the engine refuses, as they are too fast by far."""
        self._doings.refused(self, count, size)

    def closes(self, code: int | None = None, reason: str = "") -> None:
        """Sends a close frame, and ends its side once it has got one, too."""
        self.has_closed = True
        self._doings.peer_closes(self, code, reason)

    def leaves(self) -> None:
        """Ends without a close frame (FIN)."""
        self._doings.lose(self, "eof")

    def resets(self) -> None:
        """Ends by an RST."""
        self._doings.lose(self, "reset")

    def breaks(self, code: int, reason: str) -> None:
        """Breaks a rule of RFC 6455 or of the limits."""
        self._doings.breaks(self, code, reason)

    def stalls(self) -> None:
        """Reads nothing from now on."""
        self.is_stalled = True

    def reads(self) -> None:
        """Reads again."""
        self.is_stalled = False
        self._doings.writable(self)

    @property
    def is_blocked(self) -> bool:
        """Whether it takes nothing now."""
        return self.is_stalled or (self.transport == "long-poll" and not self.has_poll)

    # What reaches it.

    def let_in(self, doings: Doings) -> None:
        """It is a connection from now on."""
        self._doings = doings

    def part(self, farewell: tuple[int | None, str]) -> None:
        """Gets a close frame."""
        self.farewell = farewell
        if self._answers and not self.has_closed:
            self.closes(*farewell)
