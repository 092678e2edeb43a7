"""A WebSocket: the parser's frames become messages, and the engine alone writes what goes out."""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from time import monotonic
from typing import Any, Literal

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from fanwire.admission import Ticket
from fanwire.calls import name_of
from fanwire.carriage import OVER, Phase
from fanwire.codes import CloseCode, is_valid
from fanwire.connection import Connection
from fanwire.gateway.assembly import Assembly, Violation
from fanwire.gateway.parser import Deaf, Parser, feed
from fanwire.hub import Handler, Hub
from fanwire.inbox import Inbox
from fanwire.pace import CREDIT, Pace
from fanwire.session import Session
from fanwire.state import State
from fanwire.wire import Incoming

__all__ = ["WebSocket"]


class WebSocket(WSListener):
    """The frames of one connection. It is a picows listener and the hub's `Carrier`."""

    __slots__ = (
        "_answered", "_assembly", "_held", "_hub", "_is_finished", "_is_late", "_is_slowed", "_is_tls", "_is_vouching",
        "_is_waiting", "_is_write_paused", "_late", "_on_message", "_owed", "_pace", "_peer_closed", "_rest",
        "_unfinished", "connection", "fresh", "inbox", "is_paused", "link", "phase", "ticket", "transport",
    )  # fmt: skip

    connection: Connection
    link: int

    def __init__(
        self, hub: Hub, transport: asyncio.Transport, is_tls: bool, rest: bytes, ticket: Ticket, rate: float
    ) -> None:
        self._hub = hub
        # The newest probe that was answered, see `_answers_anew`.
        self._answered = b""
        self._assembly = Assembly(hub.config.max_message, hub.config.max_fragments)
        self._pace = Pace(hub.rates(rate), monotonic())
        # Bytes of its that are counted in `hub.limits.inbound`, but those of its inbox.
        self._held = 0
        self._unfinished: asyncio.TimerHandle | None = None
        # Why it is not read, besides `is_paused`: it is too fast, or others have their turn.
        self._is_slowed = False
        self._is_waiting = False
        # Messages that wait because too much has come in one turn of the loop; nothing is read meanwhile.
        self._is_late = False
        self._late: list[bytes | str] | None = None
        self._is_vouching = False
        self.ticket = ticket
        self._is_tls = is_tls
        self._is_write_paused = False
        # The engine has given all its bytes, where the loop writes.
        self._is_finished = False
        self._on_message = hub.handlers.on_message
        self._owed = 0
        self._peer_closed = False
        self._rest = rest
        self.fresh: Connection | None = None
        self.transport = transport
        self.phase = Phase.CARRYING
        self.is_paused = False
        held = hub.limits.inbound
        self.inbox = Inbox(
            self, max_calls=hub.config.inbox_messages, max_bytes=hub.config.inbox_bytes, held=held, calls=hub.calls
        )

    @property
    def is_lost(self) -> bool:
        """Whether what the transport brings no longer counts."""
        return self.phase in OVER

    # What picows calls.

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A whole frame has come."""
        if self.is_lost:
            # The connection goes on without this transport, which ends once both close frames are there.
            if frame.msg_type is WSMsgType.CLOSE:
                self._peer_has_closed()
            return
        try:
            # Each attribute of a frame is a conversion (the opcode 0.13 µs), so none is read twice.
            opcode = frame.msg_type
            if frame.rsv1 or frame.rsv2 or frame.rsv3:
                raise Violation(CloseCode.PROTOCOL_ERROR, "reserved bit without an extension")
            if opcode in _DATA:
                payload = frame.get_payload_as_bytes()
                self.connection.received_bytes += len(payload)
                if opcode is BINARY and frame.fin and not self._assembly.is_open:
                    self._received(payload)
                else:
                    self._continue(opcode.value, frame.fin, payload)
            elif opcode is WSMsgType.CLOSE:
                self._close_received(frame)
            else:
                self._assembly.control()
                self._control(opcode, frame)
        except Violation as violation:
            self._violated(violation)

    def _control(self, opcode: WSMsgType, frame: WSFrame) -> None:
        if self.connection.state is not OPEN:
            return
        payload, engine = frame.get_payload_as_bytes(), self._hub.engine
        if opcode is WSMsgType.PING:
            if self._may_ping(PING_WEIGHT):
                engine.ping_received(self.connection.id, payload)
        elif self._answers_anew(payload) or self._may_ping(1.0):
            engine.pong_received(self.connection.id, payload)

    def _answers_anew(self, payload: bytes) -> bool:
        """Whether a pong answers a probe that no other pong has answered. The engine's probes follow what it sends, so
        there may be hundreds a second; their payloads rise, and nobody else can make them."""
        if payload <= self._answered or not self._hub.engine.answers_probe(self.connection.id, payload):
            return False
        self._answered = payload
        return True

    def _violated(self, violation: Violation) -> None:
        if violation.limit is not None and self.connection.state is OPEN:
            self._hub.limits.count(violation.limit)
        self.fail(violation.code, violation.reason)

    def _continue(self, opcode: int, fin: bool, payload: bytes) -> None:
        """A text message, or a part of a message."""
        assembly = self._assembly
        if fin and not assembly.is_open:
            message = assembly.add(opcode, fin, payload)
        else:
            before = assembly.size
            message = assembly.add(opcode, fin, payload)
            self._part_came(len(payload), assembly.size - before)
        if message is not None:
            self._received(message)

    def _part_came(self, size: int, held: int) -> None:
        self._hold(held)
        over = self._pace.part(size, monotonic)
        if over is not None and self._hub.limits.over("byte_rate"):
            self._slow_down(over)
        if not self._assembly.is_open:
            self._stop_waiting()
        elif self._unfinished is None:
            loop = asyncio.get_running_loop()
            timeout = self._hub.config.message_timeout
            self._unfinished = loop.call_later(timeout, self._check_unfinished, loop.time())

    def _received(self, message: bytes | str) -> None:
        self.connection.received_messages += 1
        session = self.connection.session
        if session is not None:
            if self._is_late or self._hub.burst.is_over:
                self._put_off(message)
            else:
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
            self.inbox.put(self._deliver, handler, message, size=len(message), of=handler)
            return
        try:
            pending = handler(self.connection, message)
            if pending is not None and isawaitable(pending):
                self.inbox.wait_for(pending, handler)
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything
            self.handler_failed(error, name_of(handler))

    def _put_off(self, message: bytes | str) -> None:
        """Handles a message of a session a little later, after those of other clients."""
        if self._late is None:
            self._late = []
        self._late.append(message)
        self._hub.limits.inbound.bytes += len(message)
        if not self._is_late:
            self._is_late = True
            if not self.transport.is_closing():
                self.transport.pause_reading()
            self._hub.turns.put(self._catch_up)

    def _catch_up(self) -> None:
        """Handles what was put off."""
        late, self._late = self._late, None
        try:
            for message in late or ():
                self._hub.limits.inbound.bytes -= len(message)
                if self.connection.session is not None:
                    self._heard(self.connection.session, message)
        finally:
            self._is_late = False
            self._read_on()

    def _heard(self, session: Session, frame: bytes | str) -> None:
        if self.connection.state is not OPEN or self.is_lost:
            return
        incoming = self._hub.desk.arrived(self.connection, session, frame, self._charge)
        if incoming is not None:
            self.inbox.put(self._handle, session, incoming, size=len(frame))

    def _charge(self, size: int, reports: int) -> float | None:
        """See `Desk.arrived`."""
        if reports:
            # None is refused: it may be the last for long, and the client would wait for what it makes room for.
            over = self._pace.report(size, reports, monotonic)
            if over is not None and self._hub.limits.over(over[0]):
                self._slow_down(over[1])
            return None
        over = self._pace.message(size, monotonic)
        if over is None:
            return None
        wait = over[1] if self._hub.limits.over(over[0]) else None
        self._count_refusal()
        return wait

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

    def retire(self) -> None:
        """See `Carrier`."""
        self._stop_waiting()
        self.is_paused = self._is_slowed = False
        self.begin()

    def begin(self) -> None:
        """See `Carrier`."""
        protocol = self.transport.get_protocol()
        if isinstance(protocol, Parser) and self._rest:
            rest, self._rest = self._rest, b""
            feed(protocol, rest)
        self._read_on()

    # What the parser calls, besides.

    def has_read(self, size: int, seconds: float) -> None:
        """See `Listener`."""
        try:
            self._assembly.coming(size)
        except Violation as violation:
            self._violated(violation)
        self._hub.burst.took(seconds)
        if seconds < SHORT:
            return
        now = monotonic()
        debt = self._pace.took(seconds, now)
        if debt > BORNE and not self._is_waiting and not self.transport.is_closing():
            self.transport.pause_reading()
            self._await_turn(debt - self._pace.credit(now))

    def widened(self, size: int) -> None:
        """See `Listener`."""
        if not self.is_lost:
            self._hold(size)

    def _await_turn(self, debt: float) -> None:
        self._is_waiting = True
        self._hub.rota.put(self._have_turn, debt)

    def _have_turn(self) -> None:
        self._is_waiting = False
        self._read_on()

    def _read_on(self) -> None:
        if not (self.is_paused or self._is_slowed or self._is_waiting or self._is_late or self.transport.is_closing()):
            self.transport.resume_reading()

    # What limits ask for.

    def _may_ping(self, weight: float) -> bool:
        if self._pace.ping(monotonic()):
            return True
        is_enforced = self._hub.limits.over("ping_rate")
        self._count_refusal(weight)
        return not is_enforced

    def _count_refusal(self, weight: float = 1.0) -> None:
        if not self._pace.refused(monotonic(), weight) and self._hub.limits.over("max_refused"):
            self.fail(CloseCode.POLICY, "too much in too short a time")

    def _slow_down(self, seconds: float) -> None:
        """Reads nothing for a while: a client that cannot be told has to wait, and loses nothing."""
        if self._is_slowed or self.is_lost or self.transport.is_closing():
            return
        self._is_slowed = True
        self.transport.pause_reading()
        asyncio.get_running_loop().call_later(seconds, self._go_on)
        if not self._is_vouching:
            self._vouch()

    def _go_on(self) -> None:
        self._is_slowed = False
        if not self._is_waiting:
            # Hundreds may have been slowed down for the same time, and are not to keep others waiting.
            self._await_turn(self._pace.took(0.0, monotonic()) + CREDIT)

    def _vouch(self) -> None:
        """While it is not read its pongs are not heard, and its pings not answered, and that is not its fault."""
        is_unheard = self.is_paused or self._is_slowed
        self._is_vouching = is_unheard and not self.is_lost and not self.transport.is_closing()
        if self._is_vouching:
            self._hub.engine.pong_received(self.connection.id, b"")
            session = self.connection.session
            if session is not None:
                self._hub.engine.send_control(self.connection.id, session.codec.name, session.codec.encode(PONG))
            wait = min(self._hub.config.ping_timeout / 2, VOUCH)
            asyncio.get_running_loop().call_later(wait, self._vouch)

    def _hold(self, size: int) -> None:
        self._held += size
        inbound = self._hub.limits.inbound
        inbound.bytes += size
        if size > 0 and inbound.is_full:
            self._hub.limits.count("inbound_bytes")
            # Not at once: the parser may be in the middle of it.
            asyncio.get_running_loop().call_soon(self.fail, CloseCode.TRY_AGAIN_LATER, "the server is short of memory")

    def _check_unfinished(self, begun: float) -> None:
        loop, config = asyncio.get_running_loop(), self._hub.config
        # A large message over a slow link has the time that it takes at the least rate.
        left = begun + config.message_timeout + self._assembly.received / config.min_rate - loop.time()
        if left > 0:
            self._unfinished = loop.call_later(left, self._check_unfinished, begun)
            return
        self._unfinished = None
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
        self._is_finished = True
        self._close_when_done()

    def pause_reading(self) -> None:
        """See `Owner`."""
        if self.is_lost:
            # It has nothing to bring, and its end has to be seen.
            return
        self.is_paused = True
        if not self.transport.is_closing():
            self.transport.pause_reading()
            if not self._is_vouching:
                self._vouch()

    def resume_reading(self) -> None:
        """See `Owner`."""
        self.is_paused = False
        self._read_on()

    def handler_failed(self, error: BaseException, name: str) -> None:
        """See `Owner`."""
        self._hub.handler_failed(self.connection, error, name)

    def handlers_ended(self) -> None:
        """See `Owner`. An inbox has another owner by then."""

    # Closing.

    def fail(self, code: int, reason: str) -> None:
        """Fails the connection: a close frame at once, and nothing more is read (RFC 6455 section 7.1.7)."""
        if self._late is not None:
            self._catch_up()
        self._end(code, reason)
        # A close frame of the peer's would not be heard. Without TLS the engine's FIN tells it to end.
        self._peer_has_closed()
        protocol = self.transport.get_protocol()
        if isinstance(protocol, Parser):
            self.transport.set_protocol(Deaf(protocol))

    def picows_closes(self, payload: bytes, received: Any) -> None:
        """picows has written a close frame: it found a violation. `received` is the peer's close, if one came first.

        picows parses one frame ahead: what follows a close frame in the same read reaches it before we see the close,
        and must not count (RFC 6455 section 5.5.1).
        """
        if received is not None and is_valid(int(received.code)):
            self._peer_closes(int(received.code), received.reason or "")
        elif received is not None and not received.code:
            self._peer_closes(None, "")
        else:
            code = int.from_bytes(payload[:2], "big")
            if code == CloseCode.TOO_BIG and self.connection.state is OPEN:
                self._hub.limits.count("max_message")
            self.fail(code, "")

    def _close_received(self, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        code = int.from_bytes(payload[:2], "big") if payload else None
        if code is not None and not is_valid(code):
            raise Violation(CloseCode.PROTOCOL_ERROR, "invalid close code")
        # picows has checked that the reason is UTF-8.
        self._peer_closes(code, payload[2:].decode())
        self._peer_has_closed()

    def _peer_closes(self, code: int | None, reason: str) -> None:
        """Answers the peer's close frame with the same code (RFC 6455 section 5.5.1)."""
        if self._late is not None:
            # What came before the close frame counts.
            self._catch_up()
        # It may answer a close of the engine's that was not heard of yet.
        self._hub.take_events()
        # By some codes the client says that it comes back: its session waits.
        if code is None or code not in RECONNECTS or not self._hub.let_go(self, code, reason):
            self._end(code, reason, "client")

    def _peer_has_closed(self) -> None:
        self._peer_closed = True
        self._close_when_done()

    def _close_when_done(self) -> None:
        # A socket that the engine writes to ends with both FINs.
        if self._is_tls and self._peer_closed and self._is_finished:
            self.transport.close()

    def _end(self, code: int | None, reason: str, by: Literal["client", "server"] = "server") -> None:
        if self.is_lost:
            return
        self._hub.engine.close(self.connection.id, code, reason, False)
        self.connection.closing(code or CloseCode.NO_CODE, reason, by)

    def _grant(self) -> None:
        owed, self._owed = self._owed, 0
        # By now the connection may have another transport, whose window this is not.
        if owed and not self.is_lost:
            self._hub.engine.grant(self.connection.id, owed)


SHORT = 0.00005
"""Seconds of a read that are not charged: mostly a single message."""

BORNE = 0.005
"""Seconds of debt, see `Pace.took`, with which nobody has to wait: a quarter of a millisecond had at once."""

VOUCH = 1.0
"""Seconds between the pongs to a client that is not read: it may wait for an answer no longer than some seconds."""

PONG = {"type": "pong"}
"""Without a time: nobody has asked, so it says nothing of how long the way is."""

PING_WEIGHT = 10.0
"""What a ping over its rate counts for in `max_refused`: no application sends them, so nobody is too fast by chance."""

RECONNECTS = range(4000, 4500)
"""Close codes by which one side says that the client comes back, see `fanwire.codes`."""

OPEN = State.OPEN
BINARY = WSMsgType.BINARY
_DATA = (WSMsgType.TEXT, BINARY, WSMsgType.CONTINUATION)
