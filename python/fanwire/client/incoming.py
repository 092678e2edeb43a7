"""Handles the messages of a server in an open session. Pure.

The rule it keeps: a message is checked before it has an effect. `welcome` and `closing` begin and end a connection, so
the machine handles them.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET

from fanwire.client import actions as do
from fanwire.client.arguments import check_room
from fanwire.client.codec import (
    Count,
    Envelope,
    ErrorInfo,
    JoinedInfo,
    PatternInfo,
    TokenInfo,
    Unreadable,
    WindowInfo,
    convert,
)
from fanwire.client.errors import ProtocolError
from fanwire.client.fields import message_of, room_of, seq_of
from fanwire.client.parts import MachineParts
from fanwire.client.pending_requests import PATTERN, REJOIN, REJOIN_PATTERN, Question
from fanwire.errors import RequestFailed

__all__ = ["IncomingEnvelopes"]

PAYLOAD_MATTERS = frozenset({"welcome", "received", "skipped"})
"""Types of the protocol's own without whose payload the session cannot go on."""


class IncomingEnvelopes:
    """The server's side of a machine.

    Args:
        parts: the parts of the machine.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: MachineParts) -> None:
        self._parts = parts

    def take(self, envelope: Envelope, now: float) -> None:
        """Handles one message. A message of an unknown type is ignored.

        Raises:
            ProtocolError: the message does not follow the protocol.
        """
        handler = _HANDLERS.get(envelope.type)
        if isinstance(envelope.payload, Unreadable):
            self._unreadable(envelope, envelope.payload, now)
        elif handler is not None:
            handler(self, envelope, now)

    def _unreadable(self, envelope: Envelope, payload: Unreadable, now: float) -> None:
        """Handles a message whose payload cannot be decoded. Only this message is lost, if the session can go on."""
        if envelope.type in PAYLOAD_MATTERS:
            raise ProtocolError(f"payload of {envelope.type}: {payload.why}")
        self._parts.actions.append(do.NotRead(envelope.type, payload.why))
        error = RequestFailed("unreadable", f"the answer has come and cannot be read: {payload.why}")
        if envelope.type == "message" and envelope.room is not UNSET:
            self._parts.rooms.unreadable(envelope.room, envelope, now)
        elif envelope.type == "joined":
            self._parts.rooms.not_joined(envelope, error)
            self._parts.rooms.patterns.came(envelope.room)
        elif envelope.type == "error":
            envelope.payload = {"code": error.code, "text": error.text}
            self._on_error(envelope, now)
        elif envelope.type == "reply":
            question = self._question_of(envelope)
            if question is None or question.kind in ("publish", "token"):
                # These answers need no payload.
                envelope.payload = UNSET
                self._on_reply(envelope, now)
            elif envelope.re is not UNSET:
                self._parts.questions.answered(envelope.re)
                self._parts.actions.append(do.RejectCall(envelope.re, error))

    def _question_of(self, envelope: Envelope) -> Question | None:
        """The question that a reply answers; None: no call waits for it any more.

        Raises:
            ProtocolError: such a question has another answer.
        """
        question = None if envelope.re is UNSET else self._parts.questions.find(envelope.re)
        if question is not None and question.kind in ("join", REJOIN, "leave"):
            raise ProtocolError("reply answers a join or a leave")
        return question

    def _on_message(self, envelope: Envelope, now: float) -> None:
        if envelope.room is not UNSET:
            self._parts.rooms.message(envelope.room, envelope, now)
            return
        key = None if envelope.ack is not True or envelope.id is UNSET else envelope.id
        if key is None or self._parts.receipts.arrived(key):
            self._parts.actions.append(do.Deliver(message_of(envelope, None, None, self._parts.clock), key is not None))
        elif self._parts.receipts.is_processed(key):
            self._parts.out.acknowledge(key)

    def _on_forgotten(self, envelope: Envelope, now: float) -> None:
        if envelope.room is UNSET:
            raise ProtocolError("forgotten without room")
        self._parts.rooms.message(envelope.room, envelope, now)

    def _on_joined(self, envelope: Envelope, now: float) -> None:
        if envelope.re is UNSET:
            _check_offer(envelope)
        self._parts.rooms.joined(envelope, now)
        self._parts.rooms.patterns.came(envelope.room)

    def _on_left(self, envelope: Envelope, now: float) -> None:
        question = None if envelope.re is UNSET else self._parts.questions.find(envelope.re)
        if question is not None and question.kind != "leave":
            raise ProtocolError("left answers what is no leave")
        self._parts.rooms.left(envelope, now)
        self._parts.rooms.patterns.came(envelope.room)

    def _on_reply(self, envelope: Envelope, now: float) -> None:
        if envelope.re is UNSET:
            raise ProtocolError("reply without re")
        question = self._question_of(envelope)
        if question is None:
            return
        value = None if envelope.payload is UNSET else envelope.payload
        if question.kind == "publish":
            # Checked first: another message must not count as the answer.
            value = seq_of(envelope)
        if question.kind in (PATTERN, REJOIN_PATTERN):
            self._parts.rooms.patterns.answered(envelope.re, question, convert(envelope, PatternInfo).rooms)
            return
        self._parts.questions.answered(envelope.re)
        if question.kind == "token":
            self._parts.renewal.done()
            self._parts.renewal.expires(now, convert(envelope, TokenInfo).seconds)
        elif question.kind == "configure":
            self._parts.rooms.configured(envelope.re, question.room, envelope)
        else:
            self._parts.actions.append(do.ResolveCall(envelope.re, value))

    def _on_error(self, envelope: Envelope, now: float) -> None:
        info = convert(envelope, ErrorInfo)
        after = info.retry_after_ms
        error = RequestFailed(
            info.code, info.text, retry=info.retry, path=info.path, retry_after_ms=after, data=info.data
        )
        if envelope.re is UNSET:
            self._parts.actions.append(do.Complained(error))
            return
        question = self._parts.questions.answered(envelope.re)
        if question is None:
            if self._parts.rooms.inputs.refused(envelope):
                self._parts.actions.append(do.Complained(error))
            # Otherwise the call was withdrawn.
            return
        # A message over the rate is refused before its turn. The server would do it if it came again.
        self._parts.session.withdraw(question.frame)
        if question.kind == "token":
            self._parts.actions.append(do.Complained(error))
            self._parts.renewal.failed(now, None if after is None else after / 1000)
        elif question.kind in (PATTERN, REJOIN_PATTERN):
            self._parts.rooms.patterns.failed(envelope.re, question, error, now)
        elif question.kind in ("join", REJOIN, "leave"):
            self._parts.rooms.failed(envelope.re, question, error, now)
        else:
            self._parts.actions.append(do.RejectCall(envelope.re, error))

    def _on_skipped(self, envelope: Envelope, now: float) -> None:
        self._parts.rooms.skipped(envelope)

    def _on_member(self, envelope: Envelope, now: float) -> None:
        self._parts.rooms.member(envelope)

    def _on_token_expiring(self, envelope: Envelope, now: float) -> None:
        self._parts.renewal.wanted(now, is_late=envelope.type == "token_expired")
        if self._parts.renewal.begins(now):
            self._parts.actions.append(do.Renew())

    def _on_inputs(self, envelope: Envelope, now: float) -> None:
        self._parts.rooms.inputs.processed(envelope)

    def _on_received(self, envelope: Envelope, now: float) -> None:
        self._parts.session.acknowledged(convert(envelope, Count).count)

    def _on_ping(self, envelope: Envelope, now: float) -> None:
        self._parts.vouching.pinged(now)
        self._parts.out.send("pong")
        self._parts.out.tell(now)

    def _on_pong(self, envelope: Envelope, now: float) -> None:
        if envelope.ts is not UNSET:
            self._parts.clock.answered(envelope.ts, now)

    def _on_window(self, envelope: Envelope, now: float) -> None:
        window = convert(envelope, WindowInfo)
        name = envelope.room
        if name is not UNSET and self._parts.reports.changed(name, window.bytes):
            self._parts.out.tell(now, name)

    def _on_second_welcome(self, envelope: Envelope, now: float) -> None:
        raise ProtocolError("a second welcome")


def _check_offer(envelope: Envelope) -> None:
    """Checks a room that the server has joined of its own accord: it may have an effect later, and is joined again.

    Raises:
        ProtocolError: it does not follow the protocol.
    """
    convert(envelope, JoinedInfo)
    seq_of(envelope)
    try:
        check_room(room_of(envelope))
    except ValueError as error:
        raise ProtocolError(f"joined: {error}") from error


_HANDLERS: dict[str, Callable[[IncomingEnvelopes, Envelope, float], None]] = {
    "welcome": IncomingEnvelopes._on_second_welcome,
    "message": IncomingEnvelopes._on_message,
    "forgotten": IncomingEnvelopes._on_forgotten,
    "joined": IncomingEnvelopes._on_joined,
    "left": IncomingEnvelopes._on_left,
    "reply": IncomingEnvelopes._on_reply,
    "error": IncomingEnvelopes._on_error,
    "skipped": IncomingEnvelopes._on_skipped,
    "member_joined": IncomingEnvelopes._on_member,
    "member_left": IncomingEnvelopes._on_member,
    "token_expiring": IncomingEnvelopes._on_token_expiring,
    "token_expired": IncomingEnvelopes._on_token_expiring,
    "received": IncomingEnvelopes._on_received,
    "inputs": IncomingEnvelopes._on_inputs,
    "ping": IncomingEnvelopes._on_ping,
    "pong": IncomingEnvelopes._on_pong,
    "window": IncomingEnvelopes._on_window,
}
