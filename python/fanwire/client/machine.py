"""The client's side of the protocol (docs/protocol.md) as a state machine. Pure: no socket, no clock, no random
numbers.

Each event has a method; `take` then returns the actions. The rule it keeps: everything from the server is checked
first, and a wrong message ends the session, never the program.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from fanwire.client import actions as do
from fanwire.client.backoff import Backoff
from fanwire.client.codec import ClientCodec, Closing, Envelope, Welcome, convert
from fanwire.client.commands import Commands
from fanwire.client.errors import CLOSED, REFUSALS, ProtocolError
from fanwire.client.failures import Failure
from fanwire.client.heartbeat import Heartbeat
from fanwire.client.incoming import IncomingEnvelopes
from fanwire.client.network import Network
from fanwire.client.parts import MachineParts
from fanwire.client.pending_requests import REJOIN, REJOIN_PATTERN
from fanwire.client.renewal import Renewal
from fanwire.client.session import MAX_BYTES, MAX_FRAMES, size_of
from fanwire.codes import CloseCode, should_reconnect
from fanwire.errors import MEANINGS, Closed, ConnectionFailed, FanwireError
from fanwire.protocol.table import UNCOUNTED
from fanwire.state import ConnectionState

__all__ = ["Machine"]


class Machine:
    """One client, across all its connections.

    Args:
        codec: the encoding.
        backoff: the delays.
        renewal: when there has to be a new token.
        dice: the random numbers of the times at which rooms are joined again.
        name: begins the ids of this client's messages. It must be unique, since the server recognizes by the id a
            message that it has had before.
        is_renewable: whether there is a new token for each attempt to connect.
        heartbeat: seconds of silence until a ping, twice as long until the connection is given up; None: as the
            server says.
        max_frames: own messages that may wait for the server, sent or not. See `is_full`.
        max_bytes: the bytes of these messages.

    Attributes:
        session: id and counts.
        rooms, clock: the rooms that are joined or being joined, and the server's clock.
        commands: what the application wants.
    """

    def __init__(
        self,
        codec: ClientCodec,
        backoff: Backoff,
        renewal: Renewal,
        dice: Random,
        *,
        name: str,
        is_renewable: bool = False,
        heartbeat: float | None = None,
        max_frames: int = MAX_FRAMES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._codec = codec
        self._backoff = backoff
        self._heartbeat = Heartbeat(heartbeat)
        parts = MachineParts.made(codec, renewal, dice, name=name, max_frames=max_frames, max_bytes=max_bytes)
        self._actions = parts.actions
        self._lifecycle = parts.lifecycle
        self._questions = parts.questions
        self._reports = parts.reports
        self.clock = parts.clock
        self._vouching = parts.vouching
        self._renewal = parts.renewal
        self._out = parts.out
        self._incoming = IncomingEnvelopes(parts)
        self._closing: Closing | None = None
        # Whether there is a connection at present, and whether its welcome has come.
        self._is_linked = self._is_welcomed = False
        self._is_renewable = is_renewable
        self.session = parts.session
        self.rooms = parts.rooms
        self.commands = Commands(parts)

    @property
    def state(self) -> ConnectionState:
        """The state of the client."""
        return self._lifecycle.state

    @property
    def error(self) -> FanwireError | None:
        """Why the client is CLOSED; None: it is not, or the application has closed it."""
        return self._lifecycle.error

    @property
    def _was_connected(self) -> bool:
        return self.state is not ConnectionState.CONNECTING

    @property
    def _is_heard(self) -> bool:
        return self._is_linked and not self._lifecycle.is_over

    @property
    def is_full(self) -> bool:
        """Whether a caller should wait before it gives the machine more. Nothing is refused because of it."""
        return self.session.is_full or self._questions.is_full

    @property
    def deadline(self) -> float | None:
        """When to call `tick`, at the latest; None: nothing has a deadline."""
        if not self._is_linked or self.state is ConnectionState.CLOSING:
            return None
        deadline = self._heartbeat.deadline
        if self.state is ConnectionState.OPEN:
            for other in (self._renewal.deadline, self._vouching.deadline, self.rooms.deadline, self.clock.deadline):
                if other is not None and other < deadline:
                    deadline = other
        return deadline

    def take(self) -> list[do.Action]:
        """Returns the pending actions in their order. Each action is returned once."""
        actions = self._actions[:]
        # The parts add their actions to the same list.
        self._actions.clear()
        return actions

    # Events.

    def start(self) -> None:
        """Asks for the first connection."""
        self._connect(0.0)

    def opened(self, now: float) -> None:
        """The requested connection is established."""
        if self.state is not ConnectionState.CLOSED:
            self._begin(now)

    def switching(self) -> dict[str, str] | None:
        """Another link of the session is about to be dialled, while the present one goes on.

        Until `switched` or `stayed` the server is told no higher count of received messages than this query has.

        Returns:
            The fields of its query; None: the session is not open now.
        """
        if self.state is not ConnectionState.OPEN or not self._is_welcomed or self.session.id is None:
            return None
        return {"session": self.session.id, "received": str(self.session.hold()), "must_resume": "1"}

    def switched(self, now: float) -> None:
        """The other link has taken over: all that comes from now on comes over it, the welcome first. What the present
        link brings from here on must not be reported. The state stays OPEN."""
        if self.state is ConnectionState.OPEN and self.session.is_held:
            self.session.switched()
            self._out.is_open = False
            self._begin(now)

    def stayed(self, now: float) -> None:
        """The other link has failed. The present one goes on."""
        self.session.release()
        # What was taken meanwhile could not be reported.
        if self._out.is_open and (self.session.is_ack_due or self._reports.is_wanted):
            self._out.tell(now)

    def overtaken(self, now: float) -> None:
        """The server has closed the present link, because it has taken one that was given up for the newest: that of
        `switching`, or of an attempt before the present link."""
        if not self._lifecycle.is_over:
            self.session.lost(is_overtaken=True)
        self.lost(CloseCode.ABNORMAL, "another link of this client has come late", now)

    def refused(self, status: int, retry_after: float | None, now: float, *, is_renewable: bool = False) -> None:
        """The upgrade was answered with an HTTP status that is not 101.

        Args:
            status: the HTTP status.
            retry_after: seconds to wait, from the header `Retry-After`; None: there is none.
            now: the time.
            is_renewable: whether the next attempt has a new token.
        """
        if self.state is ConnectionState.CLOSED:
            return
        if status == 401 and (is_renewable or self._is_renewable) and self._renewal.refused():
            self._connect(0.0)
        elif Failure.of_status(status).is_final(was_connected=self._was_connected):
            self._fail(ConnectionFailed(REFUSALS.get(status, "the server refuses the upgrade"), status=status))
        else:
            self._down(f"the server answered {status}", now, retry_after)

    def unreachable(self, failure: Failure, reason: str, now: float) -> None:
        """An attempt to connect has failed, without an HTTP status."""
        if self.state is ConnectionState.CLOSED:
            return
        if self.state is not ConnectionState.CLOSING and failure.is_final(was_connected=self._was_connected):
            self._fail(ConnectionFailed(reason))
        else:
            self.lost(CloseCode.ABNORMAL, reason, now)

    def lost(self, code: int, reason: str, now: float) -> None:
        """The connection is lost, or the attempt has failed without an answer (1006).

        Args:
            code: the code of the close frame; 1006: there was no close frame, 1005: it had no code.
            reason: the reason in the close frame, or a description of what happened.
            now: the time.
        """
        if self.state is ConnectionState.CLOSED:
            return
        if self.state is ConnectionState.CLOSING:
            self._end()
            return
        # A `closing` applies to this connection only, not to later attempts.
        closing, self._closing = self._closing, None
        if self._is_renewable and CloseCode.TOKEN_EXPIRED in (code, closing and closing.code):
            # The next attempt has another token, which the server checks.
            self._down(f"{CloseCode.TOKEN_EXPIRED:d} {MEANINGS[CloseCode.TOKEN_EXPIRED]}", now, is_refusal=True)
        elif closing is not None and not closing.reconnect:
            self._fail(ConnectionFailed(closing.reason, code=closing.code))
        elif closing is not None:
            after = None if closing.after_ms is None else closing.after_ms / 1000
            self._down(f"{closing.code} {closing.reason}", now, after)
        elif should_reconnect(code):
            self._down(f"{code} {reason}", now)
        else:
            self._fail(ConnectionFailed(reason, code=code))

    def received(self, frame: bytes | str, now: float, between: Callable[[], None] = lambda: None) -> None:
        """A whole message has come. Between the envelopes of a batch `between` does what has been asked for so far."""
        if not self._is_heard:
            return
        self._heartbeat.heard(now)
        try:
            for place, part in enumerate(self._codec.split(frame)):
                if place:
                    between()
                # The one before may have been the last that counts.
                if self._is_heard:
                    self._take(part, now)
        except ProtocolError as error:
            self.violated(CloseCode.PROTOCOL_ERROR, str(error), now)

    def violated(self, code: int, reason: str, now: float) -> None:
        """The server has broken a rule. The session is not resumed, because its counts cannot be trusted."""
        if self._lifecycle.is_over:
            return
        self.session.forget()
        self._actions.append(do.Drop(code, reason))
        self._down(f"the server broke the protocol: {reason}", now, is_violation=True)

    def tick(self, now: float, network: Network | None = None) -> None:
        """The deadline may have come. `network` is what the kernel knows about the connection, where it can tell."""
        if not self._is_heard:
            return
        if self._heartbeat.is_over(now, network):
            # 1000 and 1001 would end the session.
            self._actions.append(do.Drop(CloseCode.RECONNECT, "no sign of life"))
            self.lost(CloseCode.ABNORMAL, "no sign of life", now)
        elif self.state is ConnectionState.OPEN:
            if self._vouching.is_due(now, network):
                self._actions.append(do.Vouch())
            if self._heartbeat.asks(now, network) or self.clock.is_due(now):
                self._ping(now)
            if self._renewal.begins(now):
                self._actions.append(do.Renew())
            self.rooms.tick(now)

    def close(self) -> None:
        """Closes the client, with a closing handshake if there is a connection."""
        if self._lifecycle.is_over:
            return
        is_linked = self._is_linked
        if is_linked:
            self._become(ConnectionState.CLOSING)
        self._actions.append(do.Close(CloseCode.NORMAL))
        if not is_linked:
            self._end()

    # Messages, by type.

    def _take(self, frame: bytes | str, now: float) -> None:
        envelope = self._codec.decode(frame)
        if not self._is_welcomed:
            self._on_welcome(envelope, now)
            return
        if envelope.type in UNCOUNTED or not self.session.repeated(size_of(frame)):
            if envelope.type == "closing":
                self._on_closing(envelope, now)
            else:
                self._incoming.take(envelope, now)
        elif not self.session.repeats and self._reports.is_wanted:
            # What was taken of the repeated messages could not be reported before.
            self._out.tell(now)
        if self.session.is_ack_due and self._is_linked:
            self._out.tell(now)

    def _on_welcome(self, envelope: Envelope, now: float) -> None:
        if envelope.type != "welcome":
            raise ProtocolError(f"{envelope.type} before welcome")
        welcome = convert(envelope, Welcome)
        self.session.welcomed(welcome)
        self._out.max_message = welcome.max_message
        self._heartbeat.welcomed(welcome.heartbeat_ms / 1000)
        self._vouching.welcomed(welcome.heartbeat_ms / 1000, now)
        self._backoff.opened(now)
        self._is_welcomed = self._out.is_open = True
        self._become(ConnectionState.OPEN)
        key = self._renewal.forget()
        token = None if key is None else self._questions.answered(key)
        if token is not None:
            # The upgrade has sent a newer token. The old one must not replace it.
            self.session.withdraw(token.frame)
        self._renewal.expires(now, None if welcome.expires_in_ms is None else welcome.expires_in_ms / 1000)
        if welcome.resumed:
            self.rooms.postpone(now)
        else:
            self._begin_again()
        self._reports.welcomed(welcome.window, self.session.before)
        if self._reports.is_wanted:
            # Sent even if nothing was taken yet, so that the server expects reports.
            self._out.tell(now)
            # A server with windows sends its time in a pong.
            self._ping(now)
        self._out.flush()

    def _begin_again(self) -> None:
        """The server has a new session: joins all rooms first, then sends the unanswered requests in their order."""
        for frame in self.rooms.begin_again():
            self.session.push(frame)
        for frame in self._questions.asked_anew():
            self.session.push(frame)

    def _on_closing(self, envelope: Envelope, now: float) -> None:
        closing = convert(envelope, Closing)
        if closing.code == CloseCode.RECONNECT and closing.reconnect:
            # What the server sends meanwhile comes over the next connection.
            self._actions.append(do.Drop(CloseCode.RECONNECT, closing.reason, is_asked=True))
            self._away(self._backoff.asked(now, (closing.after_ms or 0) / 1000))
        else:
            self._closing = closing

    # Consequences.

    def _begin(self, now: float) -> None:
        """There is a connection. The welcome has not come yet."""
        self._is_linked = True
        self._is_welcomed = False
        self._heartbeat.opened(now)
        self._vouching.opened()
        self.clock.opened()
        self._closing = None

    def _ping(self, now: float) -> None:
        self._out.send("ping")
        self.clock.asked(now)

    def _down(self, reason: str, now: float, after: float | None = None, **kind: bool) -> None:
        delay = self._backoff.failed(now, after, **kind)
        if delay is None:
            self._fail(ConnectionFailed(f"given up after {self._backoff.row(now)}: {reason.rstrip()}"))
        else:
            self._away(delay)

    def _away(self, delay: float) -> None:
        self._is_linked = False
        self.session.lost()
        if self.state is ConnectionState.OPEN:
            self._become(ConnectionState.RECONNECTING)
        self._connect(delay)

    def _connect(self, delay: float) -> None:
        session = self.session
        query = {} if session.id is None else {"session": session.id, "received": str(session.dial())}
        self._actions.append(do.Connect(query, delay))

    def _fail(self, error: FanwireError) -> None:
        self._lifecycle.error = error
        self._end()

    def _end(self) -> None:
        self._is_linked = False
        self._become(ConnectionState.CLOSED)
        error = self.error or Closed(CLOSED)
        for key, question in self._questions:
            if question.kind not in (REJOIN, REJOIN_PATTERN, "token"):
                self._actions.append(do.RejectCall(key, error))
        self._questions.clear()
        self.rooms.end(self.error)
        self.session.forget()

    def _become(self, state: ConnectionState) -> None:
        if self._lifecycle.become(state):
            self._out.is_open = state is ConnectionState.OPEN
