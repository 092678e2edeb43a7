"""Events from the bytes of an event stream (https://html.spec.whatwg.org/multipage/server-sent-events.html). Pure."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EventStream", "StreamEvent", "TooLong"]


class TooLong(Exception):
    """An event has more bytes than it may have."""


class StreamEvent(NamedTuple):
    """One event.

    Attributes:
        data: its lines, joined by line feeds.
        name: the type of the event; "message" unless the stream says another.
    """

    data: bytes
    name: str = "message"


class EventStream:
    """The events of one stream.

    Args:
        limit: bytes of an event.
    """

    __slots__ = ("_begun", "_data", "_ended_with_cr", "_is_first", "_limit", "_name", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # The pieces of a line that has begun, and the lines and the name of an event that has begun.
        self._begun: list[bytes] = []
        self._data: list[bytes] = []
        self._name = ""
        self._size = 0
        self._ended_with_cr = False
        self._is_first = True

    def feed(self, piece: bytes) -> list[StreamEvent]:
        """Takes the next bytes; returns the events that they complete. Comments, ids and unknown fields are left out.

        Raises:
            TooLong: an event has more bytes than the limit.
        """
        if self._is_first and piece:
            self._is_first = False
            piece = piece.removeprefix(BOM)
        if b"\r" in piece or self._ended_with_cr:
            piece = self._with_line_feeds(piece)
        end = piece.rfind(b"\n")
        if end < 0:
            self._begun.append(piece)
            self._count(len(piece))
            return []
        lines = b"".join([*self._begun, piece[:end]]).split(b"\n")
        # `_take` counts them with the rest of their line.
        self._size -= sum(map(len, self._begun))
        rest = piece[end + 1 :]
        self._begun = [rest] if rest else []
        events = []
        for line in lines:
            if line:
                self._take(line)
            else:
                if self._data:
                    events.append(StreamEvent(b"\n".join(self._data), self._name or "message"))
                self._data = []
                self._name = ""
                self._size = 0
        self._count(len(rest))
        return events

    def _with_line_feeds(self, piece: bytes) -> bytes:
        if self._ended_with_cr and piece:
            piece = piece.removeprefix(b"\n")
            self._ended_with_cr = False
        self._ended_with_cr = self._ended_with_cr or piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._count(len(value) + 1)
        elif field == b"event":
            self._name = value.decode(errors="replace")

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise TooLong(f"an event has at most {self._limit} bytes")


BOM = b"\xef\xbb\xbf"
"""A stream may begin with it."""
