"""The inputs of one room that the server has not processed. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

__all__ = ["MAX_PENDING", "PendingInput", "RoomInputs"]

MAX_PENDING = 256
"""Inputs that are kept: eight seconds at 30 a second. A client that is so far behind predicts nothing any more."""


class PendingInput(NamedTuple):
    """An input that the values of the room do not include yet.

    Attributes:
        number: of the input in the room, from 1.
        data: what was sent.
    """

    number: int
    data: Any


class RoomInputs:
    """Numbers inputs, and forgets those that the server has processed.

    An answer of the server holds from a message of the room on: until the application has taken that message, the
    values that it has do not include the inputs.
    """

    __slots__ = ("_answers", "_last", "_pending")

    def __init__(self) -> None:
        self._last = 0
        self._pending: deque[PendingInput] = deque(maxlen=MAX_PENDING)
        # Pairs of the number of a message and that of an input, both growing.
        self._answers: deque[tuple[int, int]] = deque(maxlen=MAX_PENDING)

    @property
    def next(self) -> int:
        """The number of the next input."""
        return self._last + 1

    def sent(self, data: Any) -> int:
        """An input was sent. Returns its number. Beyond the limit the oldest is forgotten."""
        self._last += 1
        self._pending.append(PendingInput(self._last, data))
        return self._last

    def answered(self, number: int, seq: int) -> None:
        """The message `seq` of the room, and those after it, include the inputs up to a number."""
        self._answers.append((seq, number))

    def refused(self, number: int) -> bool:
        """The server does not take an input. Returns whether it was pending."""
        for place, one in enumerate(self._pending):
            if one.number == number:
                del self._pending[place]
                return True
        return False

    def pending(self, seq: int) -> list[PendingInput]:
        """The inputs that are not in the messages up to a number, oldest first."""
        while self._answers and self._answers[0][0] <= seq:
            _, number = self._answers.popleft()
            while self._pending and self._pending[0].number <= number:
                self._pending.popleft()
        return list(self._pending)

    def begin_again(self) -> None:
        """The session was lost: the server processes none of the inputs from before. Numbers go on."""
        self._pending.clear()
        self._answers.clear()
