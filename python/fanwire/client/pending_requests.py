"""The requests that the server has not answered. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fanwire.client.session import MAX_BYTES, MAX_FRAMES, size_of

__all__ = ["PATTERN", "REJOIN", "REJOIN_PATTERN", "Question", "Questions"]

REJOIN = ""
"""The kind of a join of the machine itself. No type of an application is empty."""

PATTERN, REJOIN_PATTERN = "*", "**"
"""The kinds of the join of a pattern, by the application and by the machine itself."""


@dataclass
class Question:
    """A message that the server answers.

    Attributes:
        kind: its type, or `REJOIN` for a join of the machine itself.
        room: the room that it is about; "": no room.
        frame: the frame as it was sent, to send it again.
        is_abandoned: whether no caller waits any more. Its answer counts, and it is not asked in a new session.
    """

    kind: str
    room: str
    frame: bytes | str
    is_abandoned: bool = False


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

    def asked_anew(self) -> list[bytes | str]:
        """The frames to send again in a new session, in their order: all but those of joins, which the rooms send.
        Requests that are abandoned end: the joins have said what holds."""
        frames = []
        for key, question in self:
            if question.is_abandoned:
                self.answered(key)
            elif question.kind not in ("join", REJOIN, REJOIN_PATTERN):
                frames.append(question.frame)
        return frames

    def clear(self) -> None:
        """Removes all."""
        self._questions.clear()
        self._bytes = 0
