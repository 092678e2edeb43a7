"""A front door with stand-ins on all its sides: bytes go in by any cuts, and what became of them comes out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, cast
from unittest import mock

from fanwire.authentication import Authenticate, Authentication
from fanwire.config import Config
from fanwire.gateway import front_door
from fanwire.gateway.doorkeeper import Doorkeeper
from fanwire.gateway.front_door import FrontDoor
from fanwire.limits import Limits
from fanwire.metrics import Metrics
from fanwire.proxies import Proxies
from fanwire.sessions import Claim

CONFIG = Config()


class Outcome(NamedTuple):
    """What became of a peer: "waiting", "answer" (and its status), "http" (and what the HTTP server gets) or "upgrade"
    (and what the connection gets)."""

    kind: str
    what: Any = None


class Loop(asyncio.SelectorEventLoop):
    """One whose timers run when told to, so that a million of them are no heap."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[asyncio.TimerHandle] = []

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self.time() + delay, callback, args, self, context)
        self.timers.append(timer)
        return timer

    def fire(self) -> None:
        """Makes all calls that were not cancelled, the earliest first."""
        timers, self.timers = sorted(self.timers), []
        for timer in timers:
            if not timer.cancelled():
                timer._run()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        # None is in the loop's own heap.
        pass


class Transport(asyncio.Transport):
    """Keeps what is written, and reads when it may."""

    def __init__(self, peer: str) -> None:
        super().__init__()
        self.written = b""
        self.is_paused = False
        self.unread = b""
        self._peer = peer
        self._protocol: asyncio.BaseProtocol
        self._is_closing = False

    def arrive(self, data: bytes) -> None:
        """The peer's bytes."""
        if self._is_closing:
            return
        if self.is_paused:
            self.unread += data
        else:
            cast("asyncio.Protocol", self._protocol).data_received(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self._peer, 4711) if name == "peername" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def write(self, data: Any) -> None:
        assert not self._is_closing, "written after the end"
        self.written += data

    def close(self) -> None:
        self._is_closing = True

    abort = close
    # Whoever is refused has only to take the answer and to end.
    write_eof = close

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


class Http(asyncio.Protocol):
    """Stands for the HTTP server."""

    def __init__(self) -> None:
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        self.heard += data


class _Turns:
    def put(self, call: Any, *args: Any) -> None:
        call(*args)


class _HttpSide:
    has_keys = False
    prefix = ""
    connections = 0
    last: Http | None = None

    def protocol(self) -> Http:
        self.last = Http()
        return self.last

    def knows(self, authorization: bytes) -> bool:
        return False


class House:
    """Everything behind the door. Use it for any number of peers.

    Args:
        config: the server's limits.
        authenticate: the application's.
        options: the doorkeeper's.
    """

    def __init__(
        self,
        config: dict[str, Any] | None = None,
        authenticate: Authenticate | None = None,
        **options: Any,
    ) -> None:
        # None of the rates is to be met.
        self.config = Config(**{"handshake_rate": 0.0, "address_handshake_rate": 0.0, **(config or {})})
        self.loop = Loop()
        self.claimed: list[tuple[str, int]] = []
        self._http = _HttpSide()
        self._tasks: list[asyncio.Future[Any]] = []
        hub = SimpleNamespace(
            config=self.config,
            limits=Limits(self.config, lambda limit: None),
            turns=_Turns(),
            spawn=self._spawn,
            sessions=SimpleNamespace(claim=self._claim),
            health=mock.Mock(faults=()),
            make_room=lambda subject, at: None,
        )
        self.keeper = Doorkeeper(
            cast("Any", hub),
            cast("Any", self._http),
            Authentication(authenticate, 1.0, 0.0),
            proxies=Proxies(["192.0.2.0/24"]),
            metrics=Metrics(dict, dict),
            **{"origins": None, "hosts": None, **options},
        )
        self._let_in: Any = None

    def close(self) -> None:
        """Ends it."""
        self.loop.close()

    def receive(self, pieces: Sequence[bytes], peer: str = "198.51.100.1", is_patient: bool = True) -> Outcome:
        """What becomes of a peer that sends these, and, if it is still waiting, of one whose time is up."""
        with mock.patch.object(front_door, "open_websocket", self._open):
            return self.loop.run_until_complete(self._receive(pieces, peer, is_patient))

    async def _receive(self, pieces: Sequence[bytes], peer: str, is_patient: bool) -> Outcome:
        transport, door = Transport(peer), FrontDoor(self.keeper)
        transport.set_protocol(door)
        door.connection_made(transport)
        self._let_in = self._http.last = None
        for piece in pieces:
            transport.arrive(piece)
        await asyncio.gather(*self._tasks)
        self._tasks.clear()
        outcome = self._outcome(transport)
        if outcome.kind == "waiting" and not is_patient:
            self.loop.fire()
            outcome = self._outcome(transport)
        # Nobody is told twice, and nobody stays.
        self.loop.fire()
        assert self._outcome(transport) == outcome or outcome.kind == "waiting"
        door.connection_lost(None)
        self.loop.timers.clear()
        assert not self.keeper.waiting
        assert self.keeper.admission.connections == 0
        return outcome

    def _outcome(self, transport: Transport) -> Outcome:
        if transport.written:
            assert transport.is_closing()
            return Outcome("answer", status_of(transport.written))
        if self._http.last is not None:
            return Outcome("http", self._http.last.heard)
        if self._let_in is not None:
            assert not transport.is_closing()
            *let_in, rest = self._let_in
            return Outcome("upgrade", (*let_in, rest + transport.unread))
        return Outcome("waiting")

    def _open(
        self,
        hub: Any,
        transport: Any,
        request: Any,
        upgrade: Any,
        identity: Any,
        rest: bytes,
        claim: Claim,
        ticket: Any,
    ) -> None:
        assert transport.is_paused
        ticket.leave()
        self._let_in = (request.path, request.query_string, request.remote, list(request._raw), upgrade, identity, rest)

    def _claim(self, session: str, count: int, owner: str, codec: Any) -> Claim:
        assert 0 <= count <= 1 << 62
        return Claim(reason="unknown")

    def _spawn(self, work: Any) -> asyncio.Future[Any]:
        task: asyncio.Future[Any] = asyncio.ensure_future(work)
        self._tasks.append(task)
        return task


def status_of(answer: bytes) -> int:
    """The status of an answer, which has nothing in it but what the server itself says."""
    found = _ANSWER.fullmatch(answer)
    assert found is not None, answer
    assert int(found["length"]) == len(found["body"])
    assert found["phrase"] + b"\n" == found["body"]
    status = int(found["status"])
    assert 400 <= status <= 599
    return status


_ANSWER = re.compile(
    rb"HTTP/1\.1 (?P<status>[0-9]{3}) (?P<phrase>[A-Z][A-Za-z -]{2,40})\r\n"
    rb"Content-Type: text/plain; charset=utf-8\r\n"
    rb"Content-Length: (?P<length>[0-9]{1,2})\r\n"
    rb"Connection: close\r\n"
    rb"(?:(?:Sec-WebSocket-Version: 13|Upgrade: websocket|Retry-After: [0-9]{1,5}|WWW-Authenticate: Bearer)\r\n)*"
    rb"\r\n(?P<body>.*)",
    re.DOTALL,
)
