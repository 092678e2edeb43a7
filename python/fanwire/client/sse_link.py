"""The transport SSE: messages come by one response that does not end, an event stream, and go by POST."""

from __future__ import annotations

from collections.abc import Mapping

from fanwire.client.event_stream import EventStream, TooLong
from fanwire.client.failures import Failure
from fanwire.client.http_link import HttpLink
from fanwire.client.link import MESSAGE_MAX, Unreachable
from fanwire.codes import CloseCode

__all__ = ["SseLink"]

EVENT_STREAM = "text/event-stream"


class SseLink(HttpLink):
    """One event stream, and its POSTs."""

    transport = "sse"

    async def connect(self, query: Mapping[str, str], seconds: float) -> None:
        """Opens the stream, in so many seconds at most."""
        opening = {"transport": "sse", "protocol": self.target.codec.subprotocol, **query}
        answer = await self._open(lambda: self._getting.open(opening, EVENT_STREAM), seconds)
        if not answer.headers.get("content-type", "").lower().startswith(EVENT_STREAM):
            raise Unreachable("the answer is no event stream", Failure.NO_HTTP)
        self._begin()

    async def _read(self) -> str:
        stream = EventStream(2 * MESSAGE_MAX)
        try:
            while piece := await self._getting.read():
                for event in stream.feed(piece):
                    self._take(event)
        except TooLong as error:
            self._violation(CloseCode.TOO_BIG, str(error))
            return str(error)
        except (OSError, Unreachable) as error:
            return str(error) or repr(error)
        return "the stream has ended"
