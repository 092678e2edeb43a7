"""The messages that a client sends: requests, counted messages without an answer, and messages that are not counted.
Pure."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from fanwire.client.actions import Action, Send
from fanwire.client.arguments import check_key, check_kind, check_room
from fanwire.client.codec import ClientCodec, Envelope
from fanwire.client.pending_requests import Question, Questions
from fanwire.client.reports import Reports
from fanwire.client.session import ClientSession, size_of

__all__ = ["INPUT", "Outgoing"]

MAX_MESSAGE = 1 << 20
"""Bytes of the largest message, until the server says how many."""

INPUT = "i-"
"""What the id of an input begins with; its number follows."""


class Outgoing:
    """Sends the client's messages through its session to the connection.

    Args:
        codec: the encoding.
        actions: the list to which the actions are added.
        questions: the requests that the server has not answered.
        session: counts and keeps the messages.
        reports: what the application has taken.
        name: the prefix of the ids.

    Attributes:
        is_open: whether there is a connection. Counted messages wait for one; other messages need one.
        max_message: the largest message that the server accepts in bytes; None: not known yet.
    """

    __slots__ = (
        "_actions",
        "_codec",
        "_count",
        "_name",
        "_questions",
        "_reports",
        "_session",
        "is_open",
        "max_message",
    )

    def __init__(
        self,
        codec: ClientCodec,
        actions: list[Action],
        questions: Questions,
        session: ClientSession,
        reports: Reports,
        *,
        name: str,
    ) -> None:
        self._codec = codec
        self._actions = actions
        self._questions = questions
        self._session = session
        self._reports = reports
        self._name = name
        self._count = 0
        self.is_open = False
        self.max_message: int | None = None

    def ask(
        self,
        kind: str,
        room: str | None,
        payload: Any = UNSET,
        key: str | UnsetType = UNSET,
        *,
        is_again: bool = False,
    ) -> str:
        """Sends a message that the server answers; returns its id.

        Args:
            kind: its type.
            room: the room that it is about; None: no room.
            payload: what it says.
            key: of a message to a room with keys.
            is_again: whether the machine itself joins again: no caller could be told that it is too large.

        Raises:
            TypeError, ValueError: the message cannot be encoded or is too large.
        """
        check_kind(kind)
        if room is not None:
            check_room(room)
        if key is not UNSET:
            check_key(key)
        name = self._next_id()
        frame = self._codec.encode(
            Envelope(kind, id=name, room=UNSET if room is None else room, key=key, payload=payload)
        )
        if not is_again:
            self._check_size(frame)
        self._questions.asked(name, Question(kind, room or "", frame))
        self._push(frame)
        return name

    def say(self, kind: str, room: str) -> None:
        """Sends a counted message that needs no answer."""
        # With an id, so that an error that answers it is known to be no complaint.
        self._push(self._codec.encode(Envelope(kind, id=self._next_id(), room=room)))

    def input(self, room: str, number: int, data: Any) -> None:
        """Sends an input, which is counted and has no answer but an error, with the id of its number.

        Raises:
            TypeError, ValueError: it cannot be encoded or is too large.
        """
        payload = {"number": number, "data": data}
        frame = self._codec.encode(Envelope("input", id=f"{INPUT}{number}", room=room, payload=payload))
        self._check_size(frame)
        self._push(frame)

    def acknowledge(self, key: str) -> None:
        """Tells the server that the message with this id was processed."""
        self._push(self._codec.encode(Envelope("ack", re=key)))

    def send(self, kind: str) -> None:
        """Sends a message that is not counted."""
        self._actions.append(Send(self._codec.encode(Envelope(kind))))

    def tell(self, now: float, room: str | None = None) -> None:
        """Reports how many messages were received and, where the server wants to know, what the application has taken
        of this room, or of all."""
        count = self._session.told()
        counts: dict[str, Any] = {"count": count}
        if self._reports.is_wanted:
            limit = (self.max_message or MAX_MESSAGE) // 2
            counts["taken"] = self._reports.take(now, room, limit, upto=count)
        self._actions.append(Send(self._codec.encode(Envelope("received", payload=counts))))

    def flush(self) -> None:
        """Gives the connection all frames that it has not got."""
        self._actions += [Send(frame) for frame in self._session.unsent()]

    def _next_id(self) -> str:
        self._count += 1
        return f"{self._name}-{self._count}"

    def _check_size(self, frame: bytes | str) -> None:
        """Keeps from the server what it would end the connection for."""
        size = size_of(frame)
        if self.max_message is not None and size > self.max_message:
            raise ValueError(
                f"the message must have at most {self.max_message} bytes (the server's max_message), got {size}"
            )

    def _push(self, frame: bytes | str) -> None:
        self._session.push(frame)
        if self.is_open:
            self.flush()
