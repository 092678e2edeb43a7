"""Reads the bodies of requests to the server's own routes; what is wrong with one is an error for its sender."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import Request

from fanwire.http.body import HttpError
from fanwire.http.body_reader import TooLarge, read_body

__all__ = ["RequestBodies"]


class RequestBodies:
    """Reads bodies, with limits on their size and time.

    Args:
        max_body: the largest size of a body in bytes.
        timeout: seconds for a body, and one second more for each `min_rate` bytes received.
        min_rate: bytes a second.
        count: called with the name of a limit that was exceeded.
    """

    def __init__(self, max_body: int, timeout: float, min_rate: int, count: Callable[[str], object]) -> None:
        self._max_body = max_body
        self._timeout = timeout
        self._min_rate = min_rate
        self._count = count

    async def read(self, request: Request) -> bytes:
        """Returns the body of a request.

        Raises:
            HttpError: 408, 413 or 415: it is too slow, too large or compressed.
        """
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            text = "the body must not be compressed (Content-Encoding)"
            raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_type", text)
        too_large = HttpError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too_large",
            f"the body must have at most max_message ({self._max_body}) bytes",
        )
        # The parser has checked that it is a number.
        if int(request.headers.get("Content-Length", "0")) > self._max_body:
            raise too_large
        try:
            return await read_body(request.receive, self._max_body, self._timeout, self._min_rate)
        except TooLarge:
            raise too_large from None
        except asyncio.TimeoutError:
            self._count("http_body_timeout")
            raise HttpError(
                HTTPStatus.REQUEST_TIMEOUT, "timeout", "the body did not come within http_body_timeout"
            ) from None
