"""An engine with peers, for tests that hold for the real engine and for the fake one."""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import msgspec

from helpers.event_stream import read_all

Frame = str | bytes
Event = tuple[str, int, Any]

WELCOME = b'{"type":"welcome"}'
"""The first envelope of connections with a session."""

REFUSED = {reason: f'{{"type":"welcome","reason":"{reason}"}}'.encode() for reason in ("closed", "overflow", "codec")}
"""The first envelope of those whose session cannot go on."""

FAREWELL = (4001, "taken over")


class Peer(ABC):
    """A client by hand: it answers nothing by itself.

    Attributes:
        request: its id as a newcomer.
        asked: the detail of its event "request".
        conn: the id of its connection, once it was let in.
        link: what events call it.
    """

    request = 0
    asked: Any = None
    conn = 0
    link = 0

    @abstractmethod
    def frames(self, count: int) -> list[Frame]:
        """The next messages that it gets, text or binary."""

    @abstractmethod
    def rest(self) -> tuple[list[Frame], tuple[int | None, str]]:
        """All messages up to a close frame, and what that says."""

    @abstractmethod
    def refusal(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer to its request, which was refused."""

    @abstractmethod
    def is_over(self) -> bool:
        """Whether the engine has ended it; nothing that it has got is left."""

    @abstractmethod
    def says(self, frame: Frame) -> None:
        """Sends a message."""

    @abstractmethod
    def closes(self, code: int | None = None, reason: str = "") -> None:
        """Sends a close frame, and ends its side if it has got one."""

    @abstractmethod
    def leaves(self) -> None:
        """Ends without a close frame."""

    @abstractmethod
    def resets(self) -> None:
        """Ends by an RST."""

    @abstractmethod
    def breaks(self) -> None:
        """Breaks RFC 6455, by a frame with a reserved bit."""

    @abstractmethod
    def stalls(self) -> None:
        """Reads nothing until it is asked for what it has got."""

    def envelopes(self, count: int) -> list[dict[str, Any]]:
        """The next messages, of one that speaks in envelopes."""
        return [decoded(frame) for frame in self.frames(count)]

    def envelope(self) -> dict[str, Any]:
        """The next message."""
        return self.envelopes(1)[0]


class Rig(ABC):
    """An engine, and its peers.

    Attributes:
        engine: a `fanwire._engine.Engine`, or a fake one.
    """

    engine: Any

    def __init__(self) -> None:
        self._events: list[Event] = []

    @abstractmethod
    def connect(self, target: str, subprotocol: str | None, *headers: str, transport: str = "websocket") -> Peer:
        """A peer that has sent its request."""

    @abstractmethod
    def becomes(self, condition: Callable[[], object]) -> None:
        """Waits for a condition to hold."""

    @abstractmethod
    def more_events(self) -> list[Event]:
        """What has happened; where nothing has, it waits a little."""

    @abstractmethod
    def let_close_timeout_pass(self) -> None:
        """`close_timeout`, which is short, is over."""

    @abstractmethod
    def end(self) -> None:
        """Ends the engine."""

    def newcomer(
        self, target: str = "/", subprotocol: str | None = None, *headers: str, transport: str = "websocket"
    ) -> Peer:
        """A peer that asks to come in, and whose event has come. Others are kept."""
        peer = self.connect(target, subprotocol, *headers, transport=transport)
        kept, self._events = self._events, []
        *others, (_, peer.request, peer.asked) = self.until("request")
        self._events = kept + others + self._events
        return peer

    def peer(self, session: str | None = "json", transport: str = "websocket", **options: Any) -> Peer:
        """A peer that was let in, with a session or without."""
        peer = self.newcomer(subprotocol=session and f"fanwire.v1.{session}", transport=transport)
        first = b"" if session is None else welcome_in(session, WELCOME)
        conn = self.engine.accept(peer.request, session, first, **options)
        assert conn is not None
        peer.conn = peer.link = conn
        if session is not None:
            assert peer.envelope() == {"type": "welcome"}
        return peer

    def resumes(self, old: Peer, received: int, session: str = "json", transport: str = "websocket") -> Peer:
        """A peer that goes on with the session of another, or begins a new one."""
        peer = self.newcomer(subprotocol=f"fanwire.v1.{session}", transport=transport)
        accepted = welcome_in(session, WELCOME)
        refused = {reason: welcome_in(session, envelope) for reason, envelope in REFUSED.items()}
        link = self.engine.resume(old.conn, peer.request, session, received, 0, accepted, refused, FAREWELL)
        assert link is not None
        peer.conn, peer.link = old.conn, link
        return peer

    def event_of_resume(self, old: Peer, received: int) -> tuple[str, Any]:
        """What becomes of a session that a client wants to go on with: the kind of the event, and the detail."""
        link = self.resumes(old, received).link
        while True:
            for place, (kind, name, detail) in enumerate(self._events):
                if name == link and kind in ("resumed", "refused"):
                    del self._events[place]
                    return kind, detail
            self._events += self.more_events()

    def posts(self, peer: Peer, *messages: Frame) -> None:
        """The client of a one-way link sends messages by another request, and waits until they are decoded."""
        is_binary = isinstance(messages[0], bytes)
        lines = [base64.b64encode(each) if isinstance(each, bytes) else each.encode() for each in messages]
        left = self.engine.post(peer.conn, peer.link, b"\n".join(lines), is_binary)
        assert left > 0
        others: list[Event] = []
        while left:
            *before, (_, link, detail) = self.until("read")
            assert link == peer.link
            left -= detail
            others += before
        self._events = others + self._events

    def polled(self, peer: Peer) -> tuple[list[Frame], tuple[int | None, str] | None]:
        """What answers the next poll of a client: messages, and a close event if there is one. Other events are
        kept."""
        others: list[Event] = []
        while True:
            *before, event = self.until("data")
            others += before
            if event[1] == peer.link:
                self._events = others + self._events
                return read_all(event[2])
            others.append(event)

    def polls(self, peer: Peer, received: int) -> list[dict[str, Any]]:
        """A client polls, and gets these messages."""
        self.engine.poll(peer.conn, peer.link, received)
        frames, farewell = self.polled(peer)
        assert farewell is None
        return [decoded(frame) for frame in frames]

    def until(self, kind: str) -> list[Event]:
        """What happens up to an event of this kind. What came behind it is kept for the next call."""
        taken: list[Event] = []
        for _ in range(2000):
            while self._events:
                taken.append(self._events.pop(0))
                if taken[-1][0] == kind:
                    return taken
            self._events = self.more_events()
        raise AssertionError(f"no event {kind!r} has come, but {taken}")

    def event(self, kind: str) -> tuple[int, Any]:
        """The link and the detail of the next event of this kind, the others aside."""
        _, link, detail = self.until(kind)[-1]
        return link, detail


def decoded(frame: Frame) -> dict[str, Any]:
    """The envelope in a message."""
    envelope: dict[str, Any] = json.loads(frame) if isinstance(frame, str) else msgspec.msgpack.decode(frame)
    return envelope


def welcome_in(codec: str, envelope: bytes) -> bytes:
    """An envelope of JSON in a codec."""
    return envelope if codec == "json" else msgspec.msgpack.encode(json.loads(envelope))
