"""Own messages that the server has not answered. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fanwire.client.session import MAX_BYTES, MAX_FRAMES, size_of

__all__ = ["Question", "Questions"]


@dataclass
class Question:
    """A message that wants an answer.

    Attributes:
        kind: its type, or "rejoin" for a join of the machine's own.
        room: the room it is about; "" if it is about none.
        frame: as it was sent, to be sent again.
    """

    kind: str
    room: str
    frame: bytes | str


class Questions:
    """Questions by their ids, in the order they were asked.

    Args:
        max_frames: questions that may wait. It is the caller's part not to ask more; see `is_full`.
        max_bytes: the bytes of these questions.
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
        """Whether more waits than should."""
        return len(self._questions) >= self._max_frames or self._bytes >= self._max_bytes

    def asked(self, key: str, question: Question) -> None:
        """Takes a new one."""
        self._questions[key] = question
        self._bytes += size_of(question.frame)

    def find(self, key: str) -> Question | None:
        """One by its id; None: there is no such question, or it was answered before."""
        return self._questions.get(key)

    def answered(self, key: str) -> Question | None:
        """Takes one out; None: there is no such question, or it was answered before."""
        question = self._questions.pop(key, None)
        if question is not None:
            self._bytes -= size_of(question.frame)
        return question

    def clear(self) -> None:
        """Forgets all."""
        self._questions.clear()
        self._bytes = 0
