"""The size of one request head, or of its trailers, while it is parsed. Pure."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from fanwire.http.body import HttpError

__all__ = ["HeadSize"]


class HeadSize:
    """Counts the bytes that the parser has reported, and those that it holds and has not reported: a header without an
    end, a line of spaces, the extension of a chunk.

    Args:
        max_bytes: the limit for a head, for all trailers of a request, and for the bytes that the parser holds.
        count: called with "max_head" when the limit is exceeded.
    """

    def __init__(self, max_bytes: int, count: Callable[[str], object]) -> None:
        self._max_bytes = max_bytes
        self._count = count
        self._parsed = self._unparsed = self._headers = 0

    def begin(self) -> None:
        """A head begins, or the body after which trailers may come."""
        self._parsed = self._unparsed = self._headers = 0

    def fed(self, size: int) -> None:
        """The parser gets so many bytes."""
        self._unparsed += size

    def progressed(self) -> None:
        """The parser has reported something that is not part of a head."""
        self._unparsed = 0

    def parsed(self, size: int, headers: int = 0) -> None:
        """The parser has reported so many bytes and headers of a head.

        Raises:
            HttpError: 431, the head is too large.
        """
        self._unparsed = 0
        self._parsed += size
        self._headers += headers
        if self._parsed > self._max_bytes or self._headers > MAX_HEADERS:
            raise self.too_large()

    @property
    def is_over(self) -> bool:
        """Whether the parser holds more bytes than a head may have."""
        return self._unparsed > self._max_bytes

    def too_large(self) -> HttpError:
        """Returns the error for a head that is too large (431), and counts it."""
        self._count("max_head")
        return HttpError(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too_large",
            f"the request head must have at most {self._max_bytes} bytes and {MAX_HEADERS} headers",
        )


MAX_HEADERS = 100
"""The limit of headers, the same as the engine's for upgrades: a browser sends about 15."""
