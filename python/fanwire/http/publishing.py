"""Publishing by HTTP: `POST /rooms/NAME` and, several messages at once, `POST /publish`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from inspect import isawaitable
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from fanwire.backplane.base import Unavailable
from fanwire.errors import Closed, EngineFailed, Overloaded
from fanwire.http.body import HttpError, PublishOptions, entries_of, entry_of, options_of, payload_of
from fanwire.http.request_bodies import RequestBodies
from fanwire.values.reduction import short

__all__ = ["EpochOf", "HttpPublisher", "Publish", "document"]

Publish = Callable[[str, "bytes | str", bool, PublishOptions], "int | Awaitable[int]"]
"""Takes a room, a payload, whether it is JSON, and how it is published; returns the sequence number."""

EpochOf = Callable[[str], "str | Awaitable[str | None] | None"]
"""Returns the id of a room's numbering; None: the room keeps no history, or the numbering is not known now."""


class HttpPublisher:
    """Handles the requests of publishers. Their API key was checked before.

    Args:
        publish: publishes one message.
        epoch_of: the numbering of a room.
        is_name: whether clients may use this name for a room.
        max_body: the largest size of a body in bytes.
        max_nesting: levels of lists and maps that a document may have.
        timeout: seconds for a body, and one second more for each `min_rate` bytes received.
        min_rate: bytes a second.
        count: called with the name of a limit that was exceeded.
        failed: called with an error of the server itself. Its message alone is answered with `internal`.

    Attributes:
        bodies: reads the bodies of requests.
    """

    def __init__(
        self,
        publish: Publish,
        epoch_of: EpochOf,
        is_name: Callable[[str], bool],
        *,
        max_body: int,
        max_nesting: int,
        timeout: float,
        min_rate: int,
        count: Callable[[str], object],
        failed: Callable[[BaseException], object],
    ) -> None:
        self._publish = publish
        self._epoch_of = epoch_of
        self._is_name = is_name
        self._max_nesting = max_nesting
        self._failed = failed
        self.bodies = RequestBodies(max_body, timeout, min_rate, count)

    async def one(self, request: Request) -> Response:
        """Publishes the body to the room in the path, and answers with its number.

        Raises:
            HttpError: nothing was published.
        """
        options = options_of(_query_of(request))
        body = await self.bodies.read(request)
        payload, is_json = payload_of(request.headers.get("Content-Type", ""), body, self._max_nesting)
        room = _room_of(request)
        seq = self._try(room, payload, is_json, options)
        result = await self._result(room, seq)
        del result["room"]
        return document(result)

    async def several(self, request: Request) -> Response:
        """Publishes the messages in the body in their order. Each succeeds or fails by itself; the answer has one
        result for each.

        Raises:
            HttpError: nothing was published.
        """
        if request.url.query:
            text = "/publish takes no parameters; put key, delivery and id into each message"
            raise HttpError(HTTPStatus.BAD_REQUEST, "bad_message", text, "?")
        entries = entries_of(request.headers.get("Content-Type", ""), await self.bodies.read(request))
        results = await self.publish_entries(entries)
        status = HTTPStatus.OK if all("seq" in result for result in results) else HTTPStatus.MULTI_STATUS
        return document({"results": results}, status)

    async def batch(self, body: bytes) -> tuple[int, bytes]:
        """Publishes a JSON list of messages. Returns a status and a body, as `several` answers."""
        try:
            results = await self.publish_entries(entries_of("application/json", body))
        except HttpError as error:
            return int(error.status), orjson.dumps(error.document())
        return 200, orjson.dumps({"results": results})

    async def publish_entries(self, entries: Iterable[bytes]) -> list[dict[str, Any]]:
        """Publishes messages, each a JSON document, in their order. Returns the result of each."""
        # All messages go to the engine before the first answer is awaited. That keeps their order.
        begun = [self._begin(entry) for entry in entries]
        return [await result if isawaitable(result) else result for result in begun]

    def _begin(self, document: bytes) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        try:
            room, seq = self.publish(document)
        except HttpError as error:
            return {"error": error.document()}
        if isawaitable(seq):
            return asyncio.ensure_future(self._result_or_error(room, seq))
        epoch = self._epoch_of(room)
        return _with_epoch(room, seq, epoch) if isawaitable(epoch) else _result(room, seq, epoch)

    def publish(self, document: bytes) -> tuple[str, int | Awaitable[int]]:
        """Publishes one of the messages that `entries_of` returns: gives it to the engine before it returns.

        Returns:
            Its room, and its sequence number or an awaitable of it, which may raise as well.

        Raises:
            HttpError: the message was not published.
        """
        entry = entry_of(document)
        return entry.room, self._try(entry.room, *entry.message(self._max_nesting), entry.options)

    async def _result_or_error(self, room: str, seq: int | Awaitable[int]) -> dict[str, Any]:
        try:
            return await self._result(room, seq)
        except HttpError as error:
            return {"error": error.document()}

    async def _result(self, room: str, seq: int | Awaitable[int]) -> dict[str, Any]:
        number = await seq if isawaitable(seq) else seq
        epoch = self._epoch_of(room)
        return _result(room, number, await epoch if isawaitable(epoch) else epoch)

    def _try(self, room: str, payload: bytes | str, is_json: bool, options: PublishOptions) -> int | Awaitable[int]:
        if not self._is_name(room):
            text = f"room must be a name that Config.room_name allows, got {short(room)}"
            raise HttpError(HTTPStatus.BAD_REQUEST, "bad_room", text, "$.room")
        try:
            seq = self._publish(room, payload, is_json, options)
        except Exception as error:
            raise self._error_of(error) from error
        return self._stored(seq) if isawaitable(seq) else seq

    async def _stored(self, seq: Awaitable[int]) -> int:
        try:
            return await seq
        except Exception as error:
            raise self._error_of(error) from error

    def _error_of(self, error: Exception) -> HttpError:
        if isinstance(error, Unavailable):
            text = f"the backplane is not available, try again later: {error}"
            return HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", text, retry_after=1)
        if isinstance(error, Overloaded):
            text = "the server has too many messages waiting, try again later"
            return HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", text, retry_after=1)
        if isinstance(error, (Closed, EngineFailed)):
            text = "the server is starting or stopping, try again later"
            return HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", text, retry_after=1)
        if isinstance(error, (TypeError, ValueError)):
            return HttpError(HTTPStatus.BAD_REQUEST, "bad_message", str(error))
        self._failed(error)
        text = "the server failed to do this"
        return HttpError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", text, retry_after=1)


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


async def _with_epoch(room: str, seq: int, epoch: Awaitable[str | None]) -> dict[str, Any]:
    return _result(room, seq, await epoch)


def _result(room: str, seq: int, epoch: str | None) -> dict[str, Any]:
    return {"room": room, "seq": seq} if epoch is None else {"room": room, "seq": seq, "epoch": epoch}
