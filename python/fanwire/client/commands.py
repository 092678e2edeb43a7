"""What the application asks of the machine. Pure.

A command that the server answers returns an id. The action `Resolve` or `Reject` with that id has the result.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from fanwire.client.arguments import check_room
from fanwire.client.join_options import JoinWishes
from fanwire.client.message import Position
from fanwire.client.message_queue import MessageQueue
from fanwire.client.parts import MachineParts
from fanwire.client.pending_requests import PATTERN
from fanwire.client.room_inputs import PendingInput
from fanwire.protocol.table import CLIENT_TYPES
from fanwire.state import ConnectionState
from fanwire.values.checks import described

__all__ = ["Commands"]

RESERVED = CLIENT_TYPES - {"message"}
"""Types that are not the application's."""


class Commands:
    """The application's side of a machine.

    Args:
        parts: the parts of the machine.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: MachineParts) -> None:
        self._parts = parts

    def join(
        self,
        room: str,
        since: Position | None = None,
        options: dict[str, Any] | None = None,
        *,
        is_new: bool = False,
        last: int | None = None,
        repair: str | None = None,
    ) -> str:
        """Joins a room. A room that is being left can be joined again at once.

        Args:
            room: the name of the room.
            since: where to continue; None: only what is new.
            options: what the client gets of the room, see `subscription_options`.
            is_new: whether a room that is joined already begins again.
            last: so many of the messages that the room keeps come first; None: only what is new.
            repair: what comes in place of missed messages, see `Client.join`.

        Raises:
            ValueError: the room is joined, or the name is empty or longer than 255 bytes.
            FanwireError: the client is closed, or has given up.
        """
        self._parts.lifecycle.check()
        return self._parts.rooms.join(room, since, options, JoinWishes(last, repair), is_new=is_new)

    def configure(self, room: str, options: dict[str, Any]) -> str:
        """Changes what the client gets of a room that it is in; None takes an option away.

        Raises:
            FanwireError: the client is closed, or has given up.
        """
        self._parts.lifecycle.check()
        return self._parts.rooms.configure(room, options)

    def join_pattern(self, pattern: str, *, last: int | None = None, repair: str | None = None) -> str:
        """Joins all rooms of a pattern.

        Raises:
            ValueError: the pattern is joined, or is none.
            FanwireError: the client is closed, or has given up.
        """
        self._parts.lifecycle.check()
        return self._parts.rooms.patterns.join(pattern, JoinWishes(last, repair))

    def leave(self, room: str) -> str | None:
        """Leaves a room. Returns None where it is not joined; a room that is being left has the id of the first call.

        Raises:
            FanwireError: the client is closed, or has given up.
        """
        self._parts.lifecycle.check()
        if "*" in room:
            return self._parts.rooms.patterns.leave(room)
        return self._parts.rooms.leave(room)

    def publish(self, room: str, payload: Any, key: str | None = None) -> str:
        """Publishes a message once, however often the connection is lost meanwhile.

        Raises:
            TypeError, ValueError: the payload cannot be encoded, or is too large.
            FanwireError: the client is closed, or has given up.
        """
        self._parts.lifecycle.check()
        return self._parts.out.ask("publish", check_room(room), payload, UNSET if key is None else key)

    def request(self, kind: str, payload: Any = UNSET, room: str | None = None) -> str:
        """Sends a message of the application's own type, or "presence" or "history".

        Raises:
            TypeError, ValueError: the payload cannot be encoded or is too large, or the type is the protocol's.
            FanwireError: the client is closed, or has given up.
        """
        self._parts.lifecycle.check()
        if kind in RESERVED and kind not in ("presence", "history"):
            raise ValueError(
                f"kind must be a type of the application, got {described(kind)}, which is a type of the protocol"
            )
        return self._parts.out.ask(kind, room, payload)

    def withdraw(self, key: str) -> None:
        """Takes a message back, since no caller waits for its answer any more.

        A message that was not sent yet is not sent at all. A message that was sent is not sent again, and its answer is
        ignored. A join that was sent is followed by a leave. The server may have done what a `configure` asks for, so
        the answer to one that was sent says what holds.
        """
        question = self._parts.questions.find(key)
        if question is None:
            return
        if question.kind == PATTERN:
            self._parts.questions.answered(key)
            self._parts.session.withdraw(question.frame)
            self._parts.rooms.patterns.abandon(question.room)
        elif question.kind in ("join", "leave"):
            self._parts.rooms.withdraw(key, question)
        elif question.kind == "configure":
            question.is_abandoned = not self._parts.session.withdraw(question.frame, is_kept=True)
            if not question.is_abandoned:
                self._parts.questions.answered(key)
        else:
            self._parts.questions.answered(key)
            self._parts.session.withdraw(question.frame)

    def processed(self, key: str) -> None:
        """The application has processed the message with this id that was delivered with `ack`."""
        if self._parts.receipts.processed(key) and not self._parts.lifecycle.is_over:
            self._parts.out.acknowledge(key)

    def send_input(self, room: str, data: Any) -> int:
        """Sends an input to a room that is joined; returns its number.

        Raises:
            RequestFailed: the room is not joined.
            TypeError, ValueError: the input cannot be encoded or is too large.
            FanwireError: the client is closed, or has given up.
        """
        self._parts.lifecycle.check()
        return self._parts.rooms.inputs.send(room, data)

    def pending_inputs(self, room: str, seq: int) -> list[PendingInput]:
        """The inputs to a room that are not in its messages up to a number."""
        return self._parts.rooms.inputs.pending(room, seq)

    def fall_behind(self, room: str) -> None:
        """The application has no place for more messages of a reliable room: none are delivered until `CaughtUp`."""
        self._parts.rooms.fall_behind(room)

    def catch_up(self, room: str) -> None:
        """The application has place again."""
        if not self._parts.lifecycle.is_over:
            self._parts.rooms.catch_up(room)

    def refresh(self, room: str, now: float) -> bool:
        """The newest values of a room have waited for too long. Returns whether the server sends them again; then drop
        those that wait."""
        if self._parts.lifecycle.is_over or not self._parts.reports.is_wanted:
            # A server without windows has nothing newer than what waits here.
            return False
        return self._parts.rooms.refresh(room, now)

    def dropped(self, key: str) -> None:
        """The message with this id, delivered with `ack`, was dropped. The server may send it again."""
        self._parts.receipts.dropped(key)

    def watch(self, room: str, queue: MessageQueue, *, has_window: bool) -> None:
        """Reports to the server what the application takes from the queue of a room, see `Reports`."""
        if room in self._parts.rooms:
            self._parts.reports.joined(room, queue, has_window=has_window)

    def report(self, room: str, now: float) -> None:
        """Reports what the application has taken of a room."""
        if self._parts.out.is_open:
            self._parts.out.tell(now, room)

    def renewed(self, token: str) -> None:
        """The application has returned the token that `Renew` asked for.

        Raises:
            TypeError, ValueError: the token cannot be sent. Call `renewal_failed` then.
        """
        # After the connection is lost the token is of no use: the next upgrade asks for one itself.
        if self._parts.lifecycle.state is ConnectionState.OPEN and self._parts.renewal.is_asked:
            key = self._parts.out.ask("token", None, {"token": token})
            # A token that was sent before, and not answered, must not reach the server after this one.
            if self._parts.renewal.key is not None:
                self.withdraw(self._parts.renewal.key)
            self._parts.renewal.sent(key)

    def renewal_failed(self, now: float) -> None:
        """The application has no new token."""
        if self._parts.renewal.is_asked:
            self._parts.renewal.failed(now)
