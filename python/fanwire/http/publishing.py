"""Publishing by HTTP: `POST /rooms/NAME` and, several messages at once, `POST /publish`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from inspect import isawaitable
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from fanwire.backplane.base import Unavailable
from fanwire.errors import Overloaded
from fanwire.http.body import HttpError, PublishOptions, entries_of, entry_of, options_of, payload_of
from fanwire.http.body_reader import TooLarge, read_body
from fanwire.values.reduction import short

__all__ = ["HttpPublisher", "Publish", "document"]

Publish = Callable[[str, "bytes | str", bool, PublishOptions], "int | Awaitable[int]"]
"""Takes a room, a payload, whether it is JSON, and how it is published; returns the sequence number."""


class HttpPublisher:
    """Handles the requests of publishers. Their API key was checked before.

    Args:
        publish: publishes one message.
        is_name: whether clients may use this name for a room.
        max_body: the largest size of a body in bytes.
        max_nesting: levels of lists and maps that a document may have.
        timeout: seconds for a body, and one second more for each `min_rate` bytes received.
        min_rate: bytes a second.
        count: called with the name of a limit that was exceeded.
    """

    def __init__(
        self,
        publish: Publish,
        is_name: Callable[[str], bool],
        *,
        max_body: int,
        max_nesting: int,
        timeout: float,
        min_rate: int,
        count: Callable[[str], object],
    ) -> None:
        self._publish = publish
        self._is_name = is_name
        self._max_body = max_body
        self._max_nesting = max_nesting
        self._timeout = timeout
        self._min_rate = min_rate
        self._count = count

    async def one(self, request: Request) -> Response:
        """Publishes the body to the room in the path, and answers with its number.

        Raises:
            HttpError: nothing was published.
        """
        options = options_of(_query_of(request))
        body = await self._body(request)
        payload, is_json = payload_of(request.headers.get("Content-Type", ""), body, self._max_nesting)
        seq = self._try(_room_of(request), payload, is_json, options)
        return document({"seq": await seq if isawaitable(seq) else seq})

    async def several(self, request: Request) -> Response:
        """Publishes the messages in the body in their order. Each succeeds or fails by itself; the answer has one
        result for each.

        Raises:
            HttpError: nothing was published.
        """
        if request.url.query:
            text = "/publish takes no parameters; put key, delivery and id into each message"
            raise HttpError(HTTPStatus.BAD_REQUEST, "bad_message", text, "?")
        entries = entries_of(request.headers.get("Content-Type", ""), await self._body(request))
        # All messages go to the engine before the first answer is awaited. That keeps their order.
        begun = [self._begin(entry) for entry in entries]
        results = [await result if isawaitable(result) else result for result in begun]
        status = HTTPStatus.OK if all("seq" in result for result in results) else HTTPStatus.MULTI_STATUS
        return document({"results": results}, status)

    def _begin(self, document: bytes) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        try:
            entry = entry_of(document)
            seq = self._try(entry.room, *entry.message(self._max_nesting), entry.options)
        except HttpError as error:
            return {"error": error.document()}
        return asyncio.ensure_future(_result(entry.room, seq)) if isawaitable(seq) else {"room": entry.room, "seq": seq}

    def _try(self, room: str, payload: bytes | str, is_json: bool, options: PublishOptions) -> int | Awaitable[int]:
        if not self._is_name(room):
            text = f"room must be a name that Config.room_name allows, got {short(room)}"
            raise HttpError(HTTPStatus.BAD_REQUEST, "bad_room", text, "$.room")
        try:
            seq = self._publish(room, payload, is_json, options)
        except Exception as error:
            raise _error_of(error) from error
        return _stored(seq) if isawaitable(seq) else seq

    async def _body(self, request: Request) -> bytes:
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


def document(value: Any, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    """Returns an answer with a JSON body."""
    return Response(orjson.dumps(value), status, headers, "application/json")


def _query_of(request: Request) -> list[tuple[str, str]]:
    try:
        return parse_qsl(request.url.query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise HttpError(
            HTTPStatus.BAD_REQUEST, "bad_message", "the parameters must be percent-encoded UTF-8", "?"
        ) from None


def _room_of(request: Request) -> str:
    name: str = request.path_params["name"]
    try:
        # Decoded only here: an encoded slash belongs to the name, not to the path.
        return unquote(name, errors="strict")
    except UnicodeDecodeError:
        raise HttpError(HTTPStatus.BAD_REQUEST, "bad_room", "room must be percent-encoded UTF-8", "$.room") from None


async def _result(room: str, seq: Awaitable[int]) -> dict[str, Any]:
    try:
        return {"room": room, "seq": await seq}
    except HttpError as error:
        return {"error": error.document()}


async def _stored(seq: Awaitable[int]) -> int:
    try:
        return await seq
    except Exception as error:
        raise _error_of(error) from error


def _error_of(error: Exception) -> Exception:
    if isinstance(error, Unavailable):
        text = f"the backplane is not available, try again later: {error}"
        return HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", text, retry_after=1)
    if isinstance(error, Overloaded):
        text = "the server has too many messages waiting, try again later"
        return HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", text, retry_after=1)
    if isinstance(error, ValueError):
        return HttpError(HTTPStatus.BAD_REQUEST, "bad_message", str(error))
    return error
