"""What the transports SSE and long-poll have in common: messages come as events, and go by POST."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fanwire.client.codec import Envelope
from fanwire.client.errors import ProtocolError
from fanwire.client.event_stream import StreamEvent
from fanwire.client.failures import Failure, reason_of
from fanwire.client.http_answer import HttpAnswer
from fanwire.client.http_channel import HttpChannel
from fanwire.client.link import ClientLink, LinkTarget, Unreachable
from fanwire.client.network import Network
from fanwire.client.post_queue import PostQueue
from fanwire.codes import CloseCode
from fanwire.timing.deadline import within

__all__ = ["HttpLink"]

OK = 200
MISDIRECTED = 421

FLUSH_TIMEOUT = 2.0
"""Seconds for the last POST to be answered, once the link no longer counts."""


class HttpLink(ClientLink):
    """One link of a fallback transport.

    Args:
        target: the server.
    """

    def __init__(self, target: LinkTarget) -> None:
        super().__init__(target)
        self._getting = HttpChannel(target)
        self._posting = HttpChannel(target)
        self._posts = PostQueue(self._post)
        self._tasks: set[asyncio.Task[None]] = set()
        # The secret name of the link, from the welcome.
        self._name: str | None = None
        self._closing: int | None = None

    @property
    def network(self) -> Network | None:
        """What the kernel knows about the connection that messages come by."""
        return self._getting.network

    async def ended(self) -> None:
        """Waits for the end of the connection."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def send(self, frame: bytes | str) -> None:
        """Sends a message with the next POST."""
        if not self._is_over:
            self._posts.push(frame.encode() if isinstance(frame, str) else base64.b64encode(frame))

    def close(self, code: int) -> None:
        """Ends the session with the last POST. The owner gets `link_lost` when it is answered."""
        if not self._is_over:
            self._closing = code
            self._posts.close(code)

    def drop(self, code: int, reason: str = "") -> None:
        """Ends the requests. With a code that ends the session the server is told. The owner gets no more events."""
        self._abandon()
        if FIRST_KEPT <= code <= LAST_KEPT or self._name is None:
            self._cut()
            return
        self._closing = code
        self._getting.abort()
        self._posts.close(code)
        asyncio.get_running_loop().call_later(FLUSH_TIMEOUT, self._cut)

    def abort(self) -> None:
        """Ends all requests at once. The owner gets no more events."""
        self._abandon()
        self._cut()

    def vouch(self) -> None:
        """Sends a pong: every POST is a sign of life."""
        self.send(self.target.codec.encode(Envelope("pong")))

    # What the transports call.

    async def _open(self, ask: Callable[[], Awaitable[HttpAnswer]], seconds: float) -> HttpAnswer:
        """Sends the opening request, and once more if something before the server has used one connection for several
        requests.

        Raises:
            Unreachable: there is no answer in so many seconds, or it is no 200.
        """
        try:
            answer = await within(ask(), seconds)
            if answer.status == MISDIRECTED:
                answer = await within(ask(), seconds)
        except asyncio.TimeoutError as error:
            raise Unreachable(f"no answer within {seconds:g} seconds", Failure.NETWORK) from error
        except OSError as error:
            raise Unreachable(reason_of(error), Failure.of_error(error)) from error
        if answer.status != OK:
            raise answer.refusal()
        return answer

    def _begin(self) -> None:
        """The opening request is answered."""
        self._spawn(self._reading())
        self._spawn(self._sending())

    @abstractmethod
    async def _read(self) -> str:
        """Receives events up to the end of the link; returns the reason of the end."""

    def _take(self, event: StreamEvent) -> None:
        """An event has come."""
        if self._is_over:
            return
        try:
            if event.name == "message":
                self._arrived(event.data.decode())
            elif event.name == "binary":
                self._arrived(base64.b64decode(event.data, validate=True))
            elif event.name == "close":
                close = json.loads(event.data)
                self._end(int(close["code"]), str(close["reason"]))
        except UnicodeDecodeError:
            self._violation(CloseCode.INVALID_DATA, "text is not UTF-8")
        except (binascii.Error, ValueError, TypeError, KeyError):
            self._violation(CloseCode.PROTOCOL_ERROR, f"an event {event.name} that is none")

    def _arrived(self, message: bytes | str) -> None:
        if self._name is None:
            try:
                payload: Any = self.target.codec.decode(message).payload
            except ProtocolError:
                payload = None
            name = payload.get("link") if isinstance(payload, dict) else None
            if not isinstance(name, str) or not name:
                self._violation(CloseCode.PROTOCOL_ERROR, "the first message gives the link no name")
                return
            self._name = name
        self._message(message)

    def _end(self, code: int, reason: str) -> None:
        """The link has ended."""
        self.close_code, self.close_reason = code, reason
        self._lost()
        self._cut()

    # Inside.

    async def _reading(self) -> None:
        reason = "the client has failed"
        try:
            reason = await self._read()
        finally:
            if self._closing is None:
                self._end(CloseCode.ABNORMAL, reason)

    async def _sending(self) -> None:
        refusal = await self._posts.run()
        if self._closing is not None:
            self._end(self._closing, "")
        elif refusal is None:
            self._end(CloseCode.ABNORMAL, "a POST was not answered")
        else:
            self._end(CloseCode.ABNORMAL, f"a POST was answered with {refusal.status}")

    async def _post(self, number: int, body: bytes, code: int | None) -> HttpAnswer:
        query = {"link": self._name or "", "number": str(number)}
        if code is not None:
            query["close"] = str(code)
        return await self._posting.exchange("POST", query, body)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cut(self) -> None:
        self._getting.abort()
        self._posting.abort()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()


FIRST_KEPT, LAST_KEPT = 4000, 4499
"""With these codes of a client the server keeps the session, as after a loss (docs/protocol.md)."""
