"""The client's side of the protocol (docs/protocol.md) as a state machine. Pure: no socket, no clock, no dice.

What happens is told to it by a method each; what is to be done about it is then in `take`. The rule it keeps: what a
server sends is checked before it is believed, and what cannot be right ends the session, never the program.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec import UNSET

from fanwire.client import actions as do
from fanwire.client.arguments import check_room
from fanwire.client.backoff import Backoff
from fanwire.client.clock_offset import ClockOffset
from fanwire.client.codec import (
    Closing,
    Codec,
    Count,
    Envelope,
    ErrorInfo,
    TokenInfo,
    Unreadable,
    Welcome,
    WindowInfo,
    convert,
)
from fanwire.client.errors import (
    MEANINGS,
    REFUSALS,
    ClientClosed,
    ClientError,
    ConnectionFailed,
    ProtocolError,
    RequestFailed,
)
from fanwire.client.failures import Failure
from fanwire.client.heartbeat import Heartbeat
from fanwire.client.membership import message_of, seq_of
from fanwire.client.message import Position
from fanwire.client.message_queue import MessageQueue
from fanwire.client.network import Network
from fanwire.client.outgoing import Outgoing
from fanwire.client.questions import Questions
from fanwire.client.receipts import Receipts
from fanwire.client.renewal import Renewal
from fanwire.client.reports import Reports
from fanwire.client.rooms import Rooms
from fanwire.client.session import MAX_BYTES, MAX_FRAMES, Session, size_of
from fanwire.client.state import TRANSITIONS, ClientState
from fanwire.client.vouching import Vouching
from fanwire.codes import CloseCode, should_reconnect
from fanwire.protocol.table import CLIENT_TYPES, UNCOUNTED

__all__ = ["Machine"]

RESERVED = CLIENT_TYPES - {"message"}
"""Types that are not the application's."""


class Machine:
    """One client, across all its connections.

    Args:
        codec: the encoding.
        backoff: the delays.
        renewal: when there has to be a new token.
        name: begins the ids of this client, and of no other: ids are what publishing once rests on.
        is_renewable: whether there is a new token for each attempt to connect.
        heartbeat: seconds of silence until a ping, twice as long until the connection is given up; None: as the
            server says.
        max_frames: own messages that may wait for the server, sent or not. See `is_full`.
        max_bytes: of them.

    Attributes:
        state: where it stands.
        error: why it is CLOSED; None: its own side wanted it.
        session: id and counts.
        rooms: what is joined or being joined.
    """

    def __init__(
        self,
        codec: Codec,
        backoff: Backoff,
        renewal: Renewal,
        *,
        name: str,
        is_renewable: bool = False,
        heartbeat: float | None = None,
        max_frames: int = MAX_FRAMES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._codec = codec
        self._backoff = backoff
        self._renewal = renewal
        self._heartbeat = Heartbeat(heartbeat)
        self._vouching = Vouching()
        self._actions: list[do.Action] = []
        self._questions = Questions(max_frames, max_bytes)
        self._receipts = Receipts()
        self._reports = Reports()
        self._clock = ClockOffset()
        self._closing: Closing | None = None
        # Whether there is a connection.
        self._is_linked = False
        self._is_renewable = is_renewable
        self.state = ClientState.CONNECTING
        self.error: ClientError | None = None
        self.session = Session(max_frames, max_bytes)
        self._out = Outgoing(codec, self._actions, self._questions, self.session, self._reports, name=name)
        dice = Random(name)  # noqa: S311 - spreads load, hides nothing
        self.rooms = Rooms(self._actions, self._questions, self.session, self._out, dice, self._clock, self._reports)

    @property
    def _was_connected(self) -> bool:
        return self.state is not ClientState.CONNECTING

    @property
    def is_full(self) -> bool:
        """Whether a caller should wait before it gives the machine more. Nothing is refused because of it."""
        return self.session.is_full or self._questions.is_full

    @property
    def deadline(self) -> float | None:
        """When to call `tick`, at the latest; None: not because of time."""
        if not self._is_linked or self.state is ClientState.CLOSING:
            return None
        deadline = self._heartbeat.deadline
        if self.state is ClientState.OPEN:
            for other in (
                self._renewal.deadline,
                self._vouching.deadline,
                self.rooms.deadline,
                self._clock.deadline,
            ):
                if other is not None and other < deadline:
                    deadline = other
        return deadline

    def take(self) -> list[do.Action]:
        """What is to be done, in this order. It is told once."""
        actions = self._actions[:]
        # The rooms add to the same list.
        self._actions.clear()
        return actions

    # What happens.

    def start(self) -> None:
        """Begins."""
        self._connect(0.0)

    def opened(self, now: float) -> None:
        """The connection that was asked for is there."""
        if self.state is ClientState.CLOSED:
            return
        self._is_linked = True
        self._heartbeat.opened(now)
        self._vouching.opened()
        self._clock.opened()
        self._closing = None

    def refused(self, status: int, retry_after: float | None, now: float, *, is_renewable: bool = False) -> None:
        """The upgrade was answered with an HTTP status that is not 101.

        Args:
            status: that one.
            retry_after: seconds, as the server says; None: it does not.
            now: the time.
            is_renewable: whether the next attempt has a new token.
        """
        if self.state is ClientState.CLOSED:
            return
        if status == 401 and (is_renewable or self._is_renewable) and self._renewal.refused():
            self._connect(0.0)
        elif Failure.of_status(status).is_final(was_connected=self._was_connected):
            self._fail(ConnectionFailed(REFUSALS.get(status, "the server refuses the upgrade"), status=status))
        else:
            self._down(f"the server answered {status}", now, retry_after)

    def unreachable(self, failure: Failure, reason: str, now: float) -> None:
        """An attempt to connect has failed, without an HTTP status."""
        if self.state is ClientState.CLOSED:
            return
        if self.state is not ClientState.CLOSING and failure.is_final(was_connected=self._was_connected):
            self._fail(ConnectionFailed(reason))
        else:
            self.lost(CloseCode.ABNORMAL, reason, now)

    def lost(self, code: int, reason: str, now: float) -> None:
        """The connection is gone, or there was none in the end (1006).

        Args:
            code: of the close frame, 1006 if there was none, 1005 if it had none.
            reason: the text with it, or what happened.
            now: the time.
        """
        if self.state is ClientState.CLOSED:
            return
        if self.state is ClientState.CLOSING:
            self._end()
            return
        # It was said of this connection, and not of the attempts that follow.
        closing, self._closing = self._closing, None
        if self._is_renewable and CloseCode.TOKEN_EXPIRED in (code, closing and closing.code):
            # The token of the next attempt is another one, and the server says whether it is good.
            self._down(f"{CloseCode.TOKEN_EXPIRED:d} {MEANINGS[CloseCode.TOKEN_EXPIRED]}", now)
        elif closing is not None and not closing.reconnect:
            self._fail(ConnectionFailed(closing.reason, code=closing.code))
        elif closing is not None:
            after = None if closing.after_ms is None else closing.after_ms / 1000
            self._down(f"{closing.code} {closing.reason}", now, after)
        elif should_reconnect(code):
            self._down(f"{code} {reason}", now)
        else:
            self._fail(ConnectionFailed(reason, code=code))

    def received(self, frame: bytes | str, now: float) -> None:
        """A whole message has come."""
        if not self._is_linked or self.state in (ClientState.CLOSING, ClientState.CLOSED):
            return
        self._heartbeat.heard(now)
        try:
            envelope = self._codec.decode(frame)
            if self.state is not ClientState.OPEN:
                self._on_welcome(envelope, now)
                return
            if envelope.type not in UNCOUNTED:
                self.session.counted(size_of(frame))
            if isinstance(envelope.payload, Unreadable):
                self._unreadable(envelope, envelope.payload, now)
            elif (handler := _HANDLERS.get(envelope.type)) is not None:
                handler(self, envelope, now)
            if self.session.is_ack_due and self._is_linked:
                self._out.tell(now)
        except ProtocolError as error:
            self.violated(CloseCode.PROTOCOL_ERROR, str(error), now)

    def violated(self, code: int, reason: str, now: float) -> None:
        """The server broke a rule: a session whose counts cannot be trusted is not resumed."""
        if self.state in (ClientState.CLOSING, ClientState.CLOSED):
            return
        self.session.forget()
        self._actions.append(do.Drop(code, reason))
        self._down(f"the server broke the protocol: {reason}", now, is_violation=True)

    def tick(self, now: float, network: Network | None = None) -> None:
        """Some time has passed; `network` is the connection as the kernel sees it, where it can tell."""
        if not self._is_linked or self.state in (ClientState.CLOSING, ClientState.CLOSED):
            return
        if self._heartbeat.is_over(now, network):
            # Not 1000 or 1001, which would end the session.
            self._actions.append(do.Drop(CloseCode.RECONNECT, "no sign of life"))
            self.lost(CloseCode.ABNORMAL, "no sign of life", now)
        elif self.state is ClientState.OPEN:
            if self._vouching.is_due(now, network):
                self._actions.append(do.Vouch())
            if self._heartbeat.asks(now, network) or self._clock.is_due(now):
                self._ping(now)
            if self._renewal.begins(now):
                self._actions.append(do.Renew())
            self.rooms.tick(now)

    def renewed(self, token: str) -> None:
        """The application has returned the token that `Renew` asked for.

        Raises:
            TypeError, ValueError: it cannot be sent, and counts as none; say `renewal_failed`.
        """
        # What comes too late is of no use: the next upgrade asks for one itself.
        if self.state is ClientState.OPEN and self._renewal.is_asked:
            key = self._out.ask("token", None, {"token": token})
            # One that was sent before, and not answered, must not come after this one.
            self.withdraw(self._renewal.key)
            self._renewal.sent(key)

    def renewal_failed(self, now: float) -> None:
        """The application has none."""
        if self._renewal.is_asked:
            self._renewal.failed(now)

    # What the application wants. Each returns the id that `Resolve` or `Reject` will name.

    def join(self, room: str, since: Position | None = None, *, is_new: bool = False) -> str:
        """Asks for a room; one that is being left can be joined again at once.

        Args:
            room: its name.
            since: where to go on; None: only what is new.
            is_new: whether it begins anew where it is joined already.

        Raises:
            ValueError: it is joined, or the name is empty or longer than 255 bytes.
            ClientError: it is over.
        """
        self._check()
        return self.rooms.join(room, since, is_new=is_new)

    def leave(self, room: str) -> str:
        """Asks not to get a room's messages any more. "" where it is not joined; one that is being left has the id of
        the first call.

        Raises:
            ClientError: it is over.
        """
        self._check()
        return self.rooms.leave(room)

    def publish(self, room: str, payload: Any, key: str | None = None) -> str:
        """Publishes: once, however often the connection is lost meanwhile.

        Raises:
            TypeError, ValueError: the payload cannot be encoded, or is too large.
            ClientError: it is over.
        """
        self._check()
        return self._out.ask("publish", check_room(room), payload, UNSET if key is None else key)

    def request(self, kind: str, payload: Any = UNSET, room: str | None = None) -> str:
        """Sends a message of the application's own type, or "presence".

        Raises:
            TypeError, ValueError: the payload cannot be encoded or is too large, or the type is the protocol's.
            ClientError: it is over.
        """
        self._check()
        if kind in RESERVED and kind != "presence":
            raise ValueError(f"{kind!r} is a type of the protocol")
        return self._out.ask(kind, room, payload)

    def withdraw(self, key: str) -> None:
        """Nobody waits for the answer to this any more. What no connection was given is not sent at all; what was is
        not sent again, and its answer is ignored. A join that may have come about is followed by a leave."""
        question = self._questions.find(key)
        if question is None:
            return
        if question.kind in ("join", "leave"):
            self.rooms.withdraw(key, question)
        else:
            self._questions.answered(key)
            self.session.withdraw(question.frame)

    def processed(self, key: str) -> None:
        """The application has processed the message with this id that was delivered with `ack`."""
        if self._receipts.processed(key) and self.state not in (ClientState.CLOSING, ClientState.CLOSED):
            self._out.acknowledge(key)

    def fall_behind(self, room: str) -> None:
        """The application has no place for more messages of a reliable room: none are delivered any more, until
        `CaughtUp` says so."""
        self.rooms.fall_behind(room)

    def catch_up(self, room: str) -> None:
        """The application has place again."""
        if self.state not in (ClientState.CLOSING, ClientState.CLOSED):
            self.rooms.catch_up(room)

    def refresh(self, room: str, now: float) -> bool:
        """Newest values of a room have waited for too long. Returns whether they come again: those that wait are to be
        dropped then."""
        if self.state in (ClientState.CLOSING, ClientState.CLOSED) or not self._reports.is_wanted:
            # A server without windows has nothing newer than what waits here.
            return False
        return self.rooms.refresh(room, now)

    def dropped(self, key: str) -> None:
        """The application does not get the message with this id that was delivered with `ack`: it may come again."""
        self._receipts.dropped(key)

    def watch(self, room: str, queue: MessageQueue, *, has_window: bool) -> None:
        """The messages of a room go through this queue, and what was taken of it is reported. See `Reports`."""
        if room in self.rooms:
            self._reports.joined(room, queue, has_window=has_window)

    def report(self, room: str, now: float) -> None:
        """The queue of a room says that so much was taken that the server is to be told."""
        if self.state is ClientState.OPEN:
            self._out.tell(now, room)

    def close(self) -> None:
        """Ends it: with the connection's closing handshake if there is one."""
        if self.state in (ClientState.CLOSING, ClientState.CLOSED):
            return
        is_linked = self._is_linked
        if is_linked:
            self._become(ClientState.CLOSING)
        self._actions.append(do.Close(CloseCode.NORMAL))
        if not is_linked:
            self._end()

    # Messages, by type.

    def _on_welcome(self, envelope: Envelope, now: float) -> None:
        if envelope.type != "welcome":
            raise ProtocolError(f"{envelope.type} before welcome")
        welcome = convert(envelope, Welcome)
        self.session.welcomed(welcome)
        self._out.max_message = welcome.max_message
        self._heartbeat.welcomed(welcome.heartbeat_ms / 1000)
        self._vouching.welcomed(welcome.heartbeat_ms / 1000, now)
        self._backoff.opened(now)
        self._become(ClientState.OPEN)
        token = self._questions.answered(self._renewal.forget())
        if token is not None:
            # The upgrade has shown a newer one, whose place it must not take.
            self.session.withdraw(token.frame)
        self._renewal.expires(now, None if welcome.expires_in_ms is None else welcome.expires_in_ms / 1000)
        if welcome.resumed:
            self.rooms.postpone(now)
        else:
            self._begin_again()
        self._reports.welcomed(welcome.window, self.session.before)
        if self._reports.is_wanted:
            # Even if nothing was taken yet: it says that there will be reports.
            self._out.tell(now)
            # A server that has windows says its time with a pong.
            self._ping(now)
        self._out.flush()

    def _begin_again(self) -> None:
        """The server knows nothing of rooms and questions: first all rooms, then the questions in their order."""
        for frame in self.rooms.begin_again():
            self.session.push(frame)
        for _, question in self._questions:
            if question.kind not in ("join", "rejoin"):
                self.session.push(question.frame)

    def _unreadable(self, envelope: Envelope, payload: Unreadable, now: float) -> None:
        """Its payload cannot be read: that costs this message and nothing else."""
        if envelope.type in PAYLOAD_MATTERS:
            # Without it there is no going on.
            raise ProtocolError(f"payload of {envelope.type}: {payload.why}")
        self._actions.append(do.NotRead(envelope.type, payload.why))
        error = RequestFailed("unreadable", f"the answer has come and cannot be read: {payload.why}")
        if envelope.type == "message" and envelope.room is not UNSET:
            self.rooms.unreadable(envelope.room, envelope, now)
        elif envelope.type == "joined":
            self.rooms.not_joined(envelope, error)
        elif envelope.type == "error":
            envelope.payload = {"code": error.code, "text": error.text}
            self._on_error(envelope, now)
        elif envelope.type == "reply":
            question = None if envelope.re is UNSET else self._questions.find(envelope.re)
            if question is None or question.kind in ("publish", "token"):
                # All that matters stands beside it.
                envelope.payload = UNSET
                self._on_reply(envelope, now)
            elif envelope.re is not UNSET:
                self._questions.answered(envelope.re)
                self._actions.append(do.Reject(envelope.re, error))

    def _on_message(self, envelope: Envelope, now: float) -> None:
        if envelope.room is not UNSET:
            self.rooms.message(envelope.room, envelope, now)
            return
        key = None if envelope.ack is not True or envelope.id is UNSET else envelope.id
        if key is None or self._receipts.arrived(key):
            self._actions.append(do.Deliver(message_of(envelope, 0, None, self._clock), key is not None))
        elif self._receipts.is_processed(key):
            self._out.acknowledge(key)

    def _on_forgotten(self, envelope: Envelope, now: float) -> None:
        if envelope.room is UNSET:
            raise ProtocolError("forgotten without room")
        self.rooms.message(envelope.room, envelope, now)

    def _on_joined(self, envelope: Envelope, now: float) -> None:
        self.rooms.joined(envelope, now)

    def _on_left(self, envelope: Envelope, now: float) -> None:
        self.rooms.left(envelope, now)

    def _on_reply(self, envelope: Envelope, now: float) -> None:
        if envelope.re is UNSET:
            raise ProtocolError("reply without re")
        question = self._questions.find(envelope.re)
        if question is None:
            return
        value = None if envelope.payload is UNSET else envelope.payload
        if question.kind == "publish":
            # Checked first: what is not an answer must not count as one.
            value = seq_of(envelope)
        self._questions.answered(envelope.re)
        if question.kind == "token":
            self._renewal.done()
            self._renewal.expires(now, convert(envelope, TokenInfo).seconds)
        else:
            self._actions.append(do.Resolve(envelope.re, value))

    def _on_error(self, envelope: Envelope, now: float) -> None:
        info = convert(envelope, ErrorInfo)
        after = info.retry_after_ms
        error = RequestFailed(
            info.code, info.text, retry=info.retry, path=info.path, retry_after_ms=after, data=info.data
        )
        if envelope.re is UNSET:
            self._actions.append(do.Complained(error))
            return
        question = self._questions.answered(envelope.re)
        if question is None:
            # Nobody waits for it any more.
            return
        if question.kind == "token":
            self._actions.append(do.Complained(error))
            self._renewal.failed(now, None if after is None else after / 1000)
        elif question.kind in ("join", "rejoin", "leave"):
            self.rooms.failed(envelope.re, question, error, now)
        else:
            self._actions.append(do.Reject(envelope.re, error))

    def _on_skipped(self, envelope: Envelope, now: float) -> None:
        self.rooms.skipped(envelope)

    def _on_member(self, envelope: Envelope, now: float) -> None:
        self.rooms.member(envelope)

    def _on_closing(self, envelope: Envelope, now: float) -> None:
        closing = convert(envelope, Closing)
        if closing.code == CloseCode.RECONNECT and closing.reconnect:
            # What the server sends meanwhile comes over the next connection.
            self._actions.append(do.Drop(CloseCode.RECONNECT, closing.reason, is_asked=True))
            self._away(self._backoff.asked(now, (closing.after_ms or 0) / 1000))
        else:
            self._closing = closing

    def _on_token_expiring(self, envelope: Envelope, now: float) -> None:
        self._renewal.wanted(now, is_late=envelope.type == "token_expired")
        if self._renewal.begins(now):
            self._actions.append(do.Renew())

    def _on_received(self, envelope: Envelope, now: float) -> None:
        self.session.acknowledged(convert(envelope, Count).count)

    def _on_ping(self, envelope: Envelope, now: float) -> None:
        self._vouching.pinged(now)
        self._out.send("pong")
        self._out.tell(now)

    def _on_pong(self, envelope: Envelope, now: float) -> None:
        if envelope.ts is not UNSET:
            self._clock.answered(envelope.ts, now)

    def _on_window(self, envelope: Envelope, now: float) -> None:
        window = convert(envelope, WindowInfo)
        name = envelope.room
        if name is not UNSET and self._reports.changed(name, window.bytes):
            self._out.tell(now, name)

    def _on_second_welcome(self, envelope: Envelope, now: float) -> None:
        raise ProtocolError("a second welcome")

    # What follows.

    def _ping(self, now: float) -> None:
        self._out.send("ping")
        self._clock.asked(now)

    def _check(self) -> None:
        if self.error is not None:
            # One error for all calls: it must not grow by the traceback of each.
            raise self.error.with_traceback(None)
        if self.state in (ClientState.CLOSING, ClientState.CLOSED):
            raise ClientClosed

    def _down(self, reason: str, now: float, after: float | None = None, *, is_violation: bool = False) -> None:
        delay = self._backoff.failed(now, after, is_violation=is_violation)
        if delay is None:
            times = self._backoff.attempts
            plural = "" if times == 1 else "s"
            self._fail(ConnectionFailed(f"given up after {times} attempt{plural}: {reason.rstrip()}"))
        else:
            self._away(delay)

    def _away(self, delay: float) -> None:
        self._is_linked = False
        if self.state is ClientState.OPEN:
            self._become(ClientState.RECONNECTING)
        self._connect(delay)

    def _connect(self, delay: float) -> None:
        query = {"session": self.session.id, "received": str(self.session.received)} if self.session.id else {}
        self._actions.append(do.Connect(query, delay))

    def _fail(self, error: ClientError) -> None:
        self.error = error
        self._end()

    def _end(self) -> None:
        self._is_linked = False
        self._become(ClientState.CLOSED)
        error = self.error or ClientClosed()
        for key, question in self._questions:
            if question.kind not in ("rejoin", "token"):
                self._actions.append(do.Reject(key, error))
        self._questions.clear()
        self.rooms.end(self.error)
        self.session.forget()

    def _become(self, state: ClientState) -> None:
        if state is not self.state and state in TRANSITIONS[self.state]:
            self.state = state
            self._out.is_open = state is ClientState.OPEN
            self._actions.append(do.StateChanged(state, self.error))


PAYLOAD_MATTERS = frozenset({"welcome", "received", "skipped", "closing"})
"""Types of the protocol's own whose payload the session rests on."""

_HANDLERS: dict[str, Callable[[Machine, Envelope, float], None]] = {
    "welcome": Machine._on_second_welcome,
    "message": Machine._on_message,
    "forgotten": Machine._on_forgotten,
    "joined": Machine._on_joined,
    "left": Machine._on_left,
    "reply": Machine._on_reply,
    "error": Machine._on_error,
    "skipped": Machine._on_skipped,
    "member_joined": Machine._on_member,
    "member_left": Machine._on_member,
    "closing": Machine._on_closing,
    "token_expiring": Machine._on_token_expiring,
    "token_expired": Machine._on_token_expiring,
    "received": Machine._on_received,
    "ping": Machine._on_ping,
    "pong": Machine._on_pong,
    "window": Machine._on_window,
}
