"""A WebSocket: picows parses what comes in, the engine alone writes what goes out.

picows writes on its own account, too (the 101, close frames on errors). It is given a transport that hands all
of that to the engine's queue, and a socket that cannot be written to, so that no frame can be cut in half by
another whatever picows does.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from time import monotonic, time_ns
from typing import Any

from picows import WSAutoPingStrategy, WSFrame, WSListener, WSMsgType, WSTransport
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from fanwire.admission import Ticket
from fanwire.codes import CloseCode, is_valid
from fanwire.config import Config
from fanwire.connection import Connection
from fanwire.gateway.assembly import Assembly, Violation
from fanwire.gateway.upgrade import Upgrade
from fanwire.hub import Handler, Hub
from fanwire.identity import rate_of, subject_of
from fanwire.inbox import Inbox
from fanwire.pace import Pace
from fanwire.request import Request
from fanwire.session import Session
from fanwire.sessions import Claim
from fanwire.state import State
from fanwire.wire import Incoming

__all__ = ["open_websocket"]

logger = logging.getLogger("fanwire.gateway")


def open_websocket(
    hub: Hub,
    transport: asyncio.Transport,
    request: Request,
    upgrade: Upgrade,
    identity: Any,
    rest: bytes,
    claim: Claim,
    ticket: Ticket,
) -> None:
    """Makes a connection of a transport whose upgrade request was accepted, or goes on with one over it.

    Args:
        hub: where the connection goes.
        transport: not being read at the moment.
        request: the request, as the application sees it.
        upgrade: the same, as the protocol has it.
        identity: who was let in.
        rest: what followed the request.
        claim: the session that it wants to go on with.
        ticket: its place among all, given back when the transport is gone.

    Raises:
        OSError: no descriptor is left for the engine.
        EngineError: the engine is closed, or full.
    """
    is_tls = transport.get_extra_info("ssl_object") is not None
    carrier = WebSocket(hub, transport, is_tls, rest, ticket, rate_of(identity))
    protocol = _Parser(
        None,  # host and path: of a client
        None,
        False,  # a server
        lambda request: carrier,
        _LOG,
        False,  # exceptions of handlers never reach picows
        None,  # the front door has seen to the handshake's time
        False,  # the engine pings and watches for pongs
        0,
        0,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        False,  # the engine answers pings
        hub.config.max_message,
        None,
        hub.config.read_buffer,
    )
    protocol.widest, protocol.widened = 0, carrier.widened
    way = _Way(carrier, transport)
    protocol.connection_made(way)
    # picows gets a head with nothing in it but what it has to answer; the real one was checked by the front door.
    _feed(protocol, _HEAD % upgrade.key)
    greeting, codec = way.greeting, upgrade.codec
    if upgrade.subprotocol is not None:
        greeting = greeting[:-2] + f"Sec-WebSocket-Protocol: {upgrade.subprotocol}\r\n\r\n".encode()
    fd, window = (None, WINDOW) if is_tls else (transport.get_extra_info("socket").fileno(), 0)
    session = None if codec is None else Session(subject_of(identity), codec, claim.lineage)
    make = partial(Connection, hub.engine, hub.services, request=request, identity=identity, session=session)
    if claim.connection is not None and claim.connection.session is not None and session is not None:
        going_on = claim.connection.session
        # What the old transport has brought by now is all that the client will be told of.
        hub.silence(claim.connection)
        accepted = welcome(hub.config, going_on, going_on.received)
        refused = welcome(hub.config, session, None, "overflow")
        carrier.connection = claim.connection
        carrier.link = hub.engine.resume(
            claim.connection.id, fd, session.codec.name, claim.received, greeting, accepted, refused, window
        )
        carrier.fresh = make(carrier.link)
    else:
        carrier.link = hub.engine.open(fd, "raw" if session is None else session.codec.name, window)
        carrier.connection = make(carrier.link)
        carrier.connection.inbox = carrier.inbox
        hub.engine.send_raw(carrier.link, greeting)
        if session is not None:
            first = welcome(hub.config, session, None, claim.reason)
            hub.engine.send_control(carrier.link, session.codec.name, first)
    if is_tls:
        transport.set_write_buffer_limits(high=WINDOW)
    transport.set_protocol(protocol)
    if carrier.fresh is None:
        hub.connected(carrier)
        carrier.begin()
    else:
        hub.returning(carrier)


def welcome(config: Config, session: Session, received: int | None, reason: str | None = None) -> bytes:
    """The first message to a client with a session; `received` is for one that goes on."""
    payload = {
        "session": session.id,
        "resumed": received is not None,
        "received": received or 0,
        "heartbeat_ms": int(config.ping_interval * 1000),
        "grace_ms": int(config.grace * 1000),
        "ack_frames": config.ack_frames,
        "ack_bytes": config.ack_bytes,
        "max_message": config.max_message,
    }
    if reason is not None:
        payload["reason"] = reason
    ts = time_ns() // 1_000_000
    return session.codec.encode({"type": "welcome", "id": secrets.token_hex(8), "ts": ts, "payload": payload})


class WebSocket(WSListener):
    """The frames of one connection. It is a picows listener and the hub's `Carrier`."""

    __slots__ = (
        "_assembly", "_held", "_hub", "_is_slowed", "_is_tls", "_is_write_paused", "_on_message", "_owed", "_pace",
        "_peer_closed", "_rest", "_unfinished", "connection", "fresh", "inbox", "is_lost", "is_paused", "link",
        "ticket", "transport",
    )  # fmt: skip

    connection: Connection
    link: int

    def __init__(
        self, hub: Hub, transport: asyncio.Transport, is_tls: bool, rest: bytes, ticket: Ticket, rate: float
    ) -> None:
        self._hub = hub
        self._assembly = Assembly(hub.config.max_message, hub.config.max_fragments)
        self._pace = Pace(hub.rates(rate))
        # Bytes of its that are counted in `hub.limits.inbound`, but those of its inbox.
        self._held = 0
        self._unfinished: asyncio.TimerHandle | None = None
        self._is_slowed = False
        self.ticket = ticket
        self._is_tls = is_tls
        self._is_write_paused = False
        self._on_message = hub.handlers.on_message
        self._owed = 0
        self._peer_closed = False
        self._rest = rest
        self.fresh: Connection | None = None
        self.transport = transport
        self.is_lost = False
        self.is_paused = False
        held = hub.limits.inbound
        self.inbox = Inbox(self, max_calls=hub.config.inbox_messages, max_bytes=hub.config.inbox_bytes, held=held)

    # What picows calls.

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A whole frame has come."""
        if self.is_lost:
            # The client has another transport by now, and this one's end must not be taken for its own.
            return
        try:
            # Each attribute of a frame is a conversion (the opcode 0.13 µs), so none is read twice.
            opcode = frame.msg_type
            if frame.rsv1 or frame.rsv2 or frame.rsv3:
                raise Violation(CloseCode.PROTOCOL_ERROR, "reserved bit without an extension")
            if opcode is BINARY and frame.fin and not self._assembly.is_open:
                self._received(frame.get_payload_as_bytes())
            elif opcode in _DATA:
                self._continue(opcode.value, frame.fin, frame.get_payload_as_bytes())
            elif opcode is WSMsgType.CLOSE:
                self._close_received(frame)
            elif self.connection.state is OPEN and self._may_ping():
                if opcode is WSMsgType.PING:
                    self._hub.engine.ping_received(self.connection.id, frame.get_payload_as_bytes())
                else:
                    self._hub.engine.pong_received(self.connection.id)
        except Violation as violation:
            if violation.code == CloseCode.TOO_BIG:
                self._hub.limits.count("max_message")
            self.fail(violation.code, violation.reason)

    def _continue(self, opcode: int, fin: bool, payload: bytes) -> None:
        """A text message, or a part of a message."""
        assembly = self._assembly
        before = assembly.size
        is_part = not fin or assembly.is_open
        message = assembly.add(opcode, fin, payload)
        if is_part:
            self._hold(assembly.size - before)
            over = self._pace.part(len(payload), monotonic)
            if over is not None and self._hub.limits.over("byte_rate"):
                self._slow_down(over)
            if not assembly.is_open:
                self._stop_waiting()
            elif self._unfinished is None:
                loop = asyncio.get_running_loop()
                self._unfinished = loop.call_later(self._hub.config.message_timeout, self._too_late)
        if message is not None:
            self._received(message)

    def _received(self, message: bytes | str) -> None:
        session = self.connection.session
        if session is not None:
            self._heard(session, message)
            return
        over = self._pace.flow(len(message), monotonic)
        if over is not None and self._hub.limits.over(over[0]):
            self._slow_down(over[1])
        handler = self._on_message
        # After a close frame, whichever side sent it, data no longer counts.
        if self.connection.state is not OPEN or handler is None:
            return
        if self.inbox.is_running:
            self.inbox.put(self._deliver, handler, message, size=len(message))
            return
        try:
            pending = handler(self.connection, message)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            self.handler_failed(error)
        else:
            if pending is not None and isawaitable(pending):
                self.inbox.wait_for(pending)

    def _heard(self, session: Session, frame: bytes | str) -> None:
        if self.connection.state is not OPEN or self.is_lost:
            return
        wait = None
        over = self._pace.message(len(frame), monotonic)
        if over is not None and self._hub.limits.over(over[0]):
            wait = over[1]
            self._count_refusal()
        incoming = self._hub.desk.arrived(self.connection, session, frame, wait)
        if incoming is not None:
            self.inbox.put(self._handle, session, incoming, size=len(frame))

    def _handle(self, session: Session, incoming: Incoming) -> Any:
        return None if self.connection.is_done else self._hub.desk.handle(self.connection, session, incoming)

    def _deliver(self, handler: Handler, message: bytes | str) -> Any:
        # What a client sent before it closed or was lost still counts; not so once the application has closed.
        return None if self.connection.is_done else handler(self.connection, message)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The transport is gone."""
        self._stop_waiting()
        self._hold(-self._held)
        self._hub.lost(self)

    def pause_writing(self) -> None:
        """The TLS transport holds as much as it should."""
        self._is_write_paused = True

    def resume_writing(self) -> None:
        """It takes more: so may the engine."""
        self._is_write_paused = False
        self._grant()

    # What the hub calls.

    def abort(self) -> None:
        """See `Carrier`."""
        self.transport.abort()

    def begin(self) -> None:
        """See `Carrier`."""
        protocol = self.transport.get_protocol()
        if isinstance(protocol, WSProtocol) and self._rest:
            rest, self._rest = self._rest, b""
            _feed(protocol, rest)
        if not self.is_paused:
            self.resume_reading()

    # What limits ask for.

    def _may_ping(self) -> bool:
        if self._pace.ping(monotonic()) or not self._hub.limits.over("ping_rate"):
            return True
        self._count_refusal()
        return False

    def _count_refusal(self) -> None:
        if not self._pace.refused(monotonic()) and self._hub.limits.over("max_refused"):
            self.fail(CloseCode.POLICY, "too much in too short a time")

    def _slow_down(self, seconds: float) -> None:
        """Reads nothing for a while: a client that cannot be told has to wait, and loses nothing."""
        if self._is_slowed or self.is_lost or self.transport.is_closing():
            return
        self._is_slowed = True
        self.transport.pause_reading()
        asyncio.get_running_loop().call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._is_slowed = False
        if not self.is_paused:
            self.resume_reading()

    def _hold(self, size: int) -> None:
        self._held += size
        inbound = self._hub.limits.inbound
        inbound.bytes += size
        if size > 0 and inbound.is_full:
            self._hub.limits.count("inbound_bytes")
            # Not at once: the parser may be in the middle of it.
            asyncio.get_running_loop().call_soon(self.fail, CloseCode.TRY_AGAIN_LATER, "the server is short of memory")

    def widened(self, size: int) -> None:
        """The parser's buffer has grown, for a large message, and stays so."""
        if not self.is_lost:
            self._hold(size)

    def _too_late(self) -> None:
        self._hub.limits.count("message_timeout")
        self.fail(CloseCode.POLICY, "a message was not finished in time")

    def _stop_waiting(self) -> None:
        if self._unfinished is not None:
            self._unfinished.cancel()
            self._unfinished = None

    def deliver(self, data: bytes) -> None:
        """See `Carrier`."""
        self.transport.write(data)
        self._owed += len(data)
        if not self._is_write_paused:
            self._grant()

    def finish(self) -> None:
        """See `Carrier`."""
        if self._peer_closed:
            self.transport.close()
        self._peer_closed = True

    def pause_reading(self) -> None:
        """See `Owner`."""
        self.is_paused = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """See `Owner`."""
        self.is_paused = False
        if not self._is_slowed and not self.transport.is_closing():
            self.transport.resume_reading()

    def handler_failed(self, error: Exception) -> None:
        """See `Owner`."""
        self._hub.handler_failed(self.connection, error)

    def spawn(self, work: Awaitable[Any]) -> object:
        """See `Owner`."""
        return self._hub.spawn(work)

    # Closing.

    def fail(self, code: int, reason: str) -> None:
        """Fails the connection: a close frame at once, and nothing more is read (RFC 6455 section 7.1.7)."""
        self._end(code, reason)
        # A close frame of the peer's would not be heard. Without TLS the engine's FIN tells it to end.
        self._peer_closed = True
        protocol = self.transport.get_protocol()
        if isinstance(protocol, WSProtocol):
            self.transport.set_protocol(_Deaf(protocol))

    def picows_closes(self, payload: bytes, received: Any) -> None:
        """picows has written a close frame: it found a violation. `received` is the peer's close, if one came first.

        picows parses one frame ahead: what follows a close frame in the same read reaches it before we see the close,
        and must not count (RFC 6455 section 5.5.1).
        """
        if received is not None and is_valid(int(received.code)):
            self._end(int(received.code), received.reason or "")
        elif received is not None and not received.code:
            self._end(None, "")
        else:
            self.fail(int.from_bytes(payload[:2], "big"), "")

    def _close_received(self, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        code = int.from_bytes(payload[:2], "big") if payload else None
        if code is not None and not is_valid(code):
            raise Violation(CloseCode.PROTOCOL_ERROR, "invalid close code")
        # It may answer a close of the engine's that was not heard of yet.
        self._hub.take_events()
        if code in RECONNECTS and self.connection.session is not None and self.connection.state is OPEN:
            # The client means to come back, so its session waits: as if the transport had been lost.
            self.transport.abort()
            return
        # picows has checked that the reason is UTF-8.
        self._end(code, payload[2:].decode())
        if self._is_tls:
            self.finish()

    def _end(self, code: int | None, reason: str) -> None:
        if self.is_lost:
            return
        self._hub.engine.close(self.connection.id, code, reason, False)
        self.connection.closing(code or CloseCode.NO_CODE, reason)

    def _grant(self) -> None:
        owed, self._owed = self._owed, 0
        if owed:
            self._hub.engine.grant(self.connection.id, owed)


class _Parser(WSProtocol):  # type: ignore[misc]
    """picows' parser, with a bound on its buffer.

    It doubles its buffer whenever a read fills it, and keeps it: a client that sends faster than we read would own
    megabytes. With reads of at most `READ_MAX` it stops at twice that, except for a single large message.
    """

    __slots__ = ("widened", "widest")

    widened: Callable[[int], None]
    widest: int

    def get_buffer(self, size_hint: int) -> memoryview:
        view: memoryview = super().get_buffer(size_hint)
        free = len(view)
        if free > self.widest and free > READ_MAX:
            # The buffer has doubled, so half of it is free.
            self.widened(2 * (free - self.widest))
            self.widest = free
        return view[:READ_MAX]


class _Way:
    """The transport that picows sees: its writes join the engine's queue."""

    __slots__ = ("_carrier", "_transport", "greeting")

    def __init__(self, carrier: WebSocket, transport: asyncio.Transport) -> None:
        self._carrier = carrier
        self._transport = transport
        self.greeting = b""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        # Addresses are for picows' log alone, and uvloop would keep them.
        return _NO_SOCKET if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        # Never 0: picows would call send() on the socket itself.
        return 1

    def write(self, data: bytes | bytearray | memoryview) -> None:
        # Copied at once: picows reuses its buffer.
        frame = bytes(data)
        if not self.greeting:
            self.greeting = frame
            return
        protocol = self._transport.get_protocol()
        handshake = protocol.transport.close_handshake if isinstance(protocol, WSProtocol) else None
        self._carrier.picows_closes(frame[2:], handshake and handshake.recv)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        # After an error picows has written its close frame; the engine flushes that and ends, within its deadline.
        pass

    abort = close


class _Deaf(asyncio.Protocol):
    """What a failed connection is given to: hears nothing but the end."""

    def __init__(self, protocol: WSProtocol) -> None:
        self._protocol = protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


class _NoSocket:
    """Stands for the socket where picows asks for one: takes options, has no descriptor."""

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *args: Any) -> None:
        pass

    def getsockopt(self, *args: Any) -> int:
        return 0


class _PeerLog(logging.LoggerAdapter):  # type: ignore[type-arg]
    """What picows says of a peer, for debugging only: peers may do as they please without filling a log.

    An adapter, because picows makes a logger of its own for each connection when given a logger.
    """

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        if self.logger.isEnabledFor(logging.DEBUG):
            self.logger.log(logging.DEBUG, msg, *args, **kwargs)


def _feed(protocol: WSProtocol, data: bytes) -> None:
    view = memoryview(data)
    while view:
        buffer = protocol.get_buffer(-1)
        size = min(len(buffer), len(view))
        buffer[:size] = view[:size]
        protocol.buffer_updated(size)
        view = view[size:]


READ_MAX = 32 << 10
"""Bytes read at a time: some hundred small messages, and they stay in the processor's cache."""

RECONNECTS = range(4000, 4500)
"""Close codes by which one side says that the client comes back, see `fanwire.codes`."""

WINDOW = 64 << 10
"""Bytes that a TLS transport may hold: enough for a full pipe, little enough that what to drop is decided late."""

_HEAD = (
    b"GET / HTTP/1.1\r\nHost: -\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"
)
OPEN = State.OPEN
BINARY = WSMsgType.BINARY
_DATA = (WSMsgType.TEXT, BINARY, WSMsgType.CONTINUATION)
_NO_SOCKET = _NoSocket()
_LOG = _PeerLog(logger, None)
