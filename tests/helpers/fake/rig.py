"""A fake engine with peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helpers.engines import add_rules
from helpers.fake.engine import FakeEngine
from helpers.fake.link import Link
from helpers.rig import Event, Frame, Peer, Rig


class FakePeer(Peer):
    """See `Peer`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def frames(self, count: int) -> list[Frame]:
        assert len(self._link.frames) >= count, self._link.frames
        return [self._link.frames.popleft() for _ in range(count)]

    def rest(self) -> tuple[list[Frame], tuple[int | None, str]]:
        self._link.reads()
        assert self._link.farewell is not None
        return self.frames(len(self._link.frames)), self._link.farewell

    def refusal(self) -> tuple[int, dict[str, str]]:
        assert self._link.refusal is not None
        status, lines, _ = self._link.refusal
        return status, dict(line.split(": ", 1) for line in lines)

    def is_over(self) -> bool:
        return self._link.is_over and not self._link.frames

    def says(self, frame: Frame) -> None:
        self._link.says(frame)

    def closes(self, code: int | None = None, reason: str = "") -> None:
        self._link.closes(code, reason)

    def leaves(self) -> None:
        self._link.leaves()

    def resets(self) -> None:
        self._link.resets()

    def breaks(self) -> None:
        self._link.breaks(1002, "a reserved bit is set")

    def stalls(self) -> None:
        self._link.stalls()


class FakeRig(Rig):
    """See `Rig`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.engine = FakeEngine(**settings)
        add_rules(self.engine)

    def connect(self, target: str, subprotocol: str | None, *headers: str, transport: str = "websocket") -> Peer:
        lines = "".join(f"{line}\r\n" for line in headers).encode()
        named = subprotocol or (None if transport == "websocket" else "fanwire.v1.raw")
        return FakePeer(self.engine.ask(target.encode(), named, lines, answers=False, transport=transport))

    def becomes(self, condition: Callable[[], object]) -> None:
        assert condition()

    def more_events(self) -> list[Event]:
        events = self.engine.events()
        assert events, "nothing more happens"
        return events

    def let_close_timeout_pass(self) -> None:
        self.engine.let_close_timeout_pass()

    def end(self) -> None:
        assert self.engine.shutdown(10)
