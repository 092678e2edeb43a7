"""The requests that the server has not answered. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fanwire.client.session import MAX_BYTES, MAX_FRAMES, size_of

__all__ = ["Question", "Questions"]


@dataclass
class Question:
    """A message that the server answers.

    Attributes:
        kind: its type, or "rejoin" for a join of the machine itself.
        room: the room that it is about; "": no room.
        frame: the frame as it was sent, to send it again.
    """

    kind: str
    room: str
    frame: bytes | str


class Questions:
    """Unanswered requests by their ids, in their order.

    Args:
        max_frames: requests that may wait. The caller checks `is_full` before each.
        max_bytes: the bytes of these requests.
    """

    __slots__ = ("_bytes", "_max_bytes", "_max_frames", "_questions")

    def __init__(self, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_BYTES) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._questions: dict[str, Question] = {}
        self._bytes = 0

    def __iter__(self) -> Iterator[tuple[str, Question]]:
        return iter(list(self._questions.items()))

    def __getitem__(self, key: str) -> Question:
        return self._questions[key]

    @property
    def is_full(self) -> bool:
        """Whether the limits are reached."""
        return len(self._questions) >= self._max_frames or self._bytes >= self._max_bytes

    def asked(self, key: str, question: Question) -> None:
        """Adds a request."""
        self._questions[key] = question
        self._bytes += size_of(question.frame)

    def find(self, key: str) -> Question | None:
        """Returns the request with this id; None: it does not exist or was answered."""
        return self._questions.get(key)

    def answered(self, key: str) -> Question | None:
        """Removes and returns a request; None: it does not exist or was answered."""
        question = self._questions.pop(key, None)
        if question is not None:
            self._bytes -= size_of(question.frame)
        return question

    def clear(self) -> None:
        """Removes all."""
        self._questions.clear()
        self._bytes = 0
