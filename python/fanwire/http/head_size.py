"""How much of one request head, or of its trailers, a parser was given. Pure."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from fanwire.http.body import HttpError

__all__ = ["HeadSize"]


class HeadSize:
    """Counts what the parser tells, and what it holds without telling: a header that does not end, a line of spaces, an
    extension of a chunk.

    Args:
        max_bytes: of a head; of what the parser holds; and of all trailers.
        count: is told the name of a limit that was passed.
    """

    def __init__(self, max_bytes: int, count: Callable[[str], object]) -> None:
        self._max_bytes = max_bytes
        self._count = count
        self._parsed = self._unparsed = self._headers = 0

    def begin(self) -> None:
        """A head begins, or the trailers that may come."""
        self._parsed = self._unparsed = self._headers = 0

    def fed(self, size: int) -> None:
        """The parser gets so many bytes."""
        self._unparsed += size

    def progressed(self) -> None:
        """It has told something else than a part of a head."""
        self._unparsed = 0

    def parsed(self, size: int, headers: int = 0) -> None:
        """It has told so many bytes of a head, and so many headers.

        Raises:
            HttpError: 431, it is too large.
        """
        self._unparsed = 0
        self._parsed += size
        self._headers += headers
        if self._parsed > self._max_bytes or self._headers > MAX_HEADERS:
            raise self.too_large()

    @property
    def is_over(self) -> bool:
        """Whether the parser holds more than a head may have."""
        return self._unparsed > self._max_bytes

    def too_large(self) -> HttpError:
        """The answer to a head that is, counted."""
        self._count("max_head")
        return HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large", "the request head is too large")


MAX_HEADERS = 100
"""As many as an upgrade may have: a browser sends about 15."""
