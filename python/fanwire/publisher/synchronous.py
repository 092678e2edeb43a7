"""The publisher of programs without an event loop."""

from __future__ import annotations

import ssl as tls
import time
from collections.abc import Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol, TypeVar

from fanwire.publisher.calls import PublishCalls
from fanwire.publisher.delivering import PublishAnswer
from fanwire.publisher.http_poster import HttpPoster
from fanwire.publisher.nats_poster import NatsPoster
from fanwire.publisher.publication import Publication, Published
from fanwire.publisher.target import PublishTarget
from fanwire.values.interest import Where

__all__ = ["Publisher"]

T = TypeVar("T")


class Poster(Protocol):
    """Carries batches to a server."""

    def post(self, body: bytes, timeout: float) -> PublishAnswer:
        """Posts a batch and returns the answer."""

    def close(self) -> None:
        """Ends the connections."""


class Publisher:
    """Publishes to a Fanwire server from another program: Django, Flask, Celery, a script. It needs no event loop and,
    with HTTP, starts no thread.

    One publisher serves all threads of a process, and all processes that are forked from it. Make it once, at module
    level. It connects with the first message, and connections are kept for the next ones. It may be used until the end
    of the process, also in functions of `atexit`.

    ::

        publisher = fanwire.Publisher("http://127.0.0.1:8000", key="key-of-the-server")

        def shipped(order: int) -> None:
            publisher.publish("orders.42", {"order": order, "state": "shipped"})

    A message that a server has not confirmed is sent again with the same id, which servers recognize for two minutes: a
    message whose confirmation was lost is published once. docs/publishing.md has what this holds for.

    Args:
        url: of the server, such as "https://push.example.com" or "http://127.0.0.1:8000/fanwire": the part before
            `/publish`. `Server.url` is accepted too. Or of the NATS server of a cluster, such as
            "nats://127.0.0.1:4222", with its token, or user and password: a node publishes the messages.
        key: one of the server's API keys, `Server(api_keys=...)`; None: no key. Not over NATS.
        ssl: for https:// only, such as `ssl.create_default_context(cafile=...)`; None: the certificates of the system.
        timeout: seconds for a message, with all its repetitions and pauses; at most 100, because servers recognize an
            id for 120 s.
        max_connections: connections of a process at the same time, 1 to 1,000. Further threads wait within their
            timeout. Over NATS each connection has a thread, of the engine.
        prefix: over NATS: the `prefix` of the nodes' backplane.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or invalid.
        ImportError: urllib3, which HTTP needs, is not installed: `pip install 'fanwire[publisher]'`.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        ssl: tls.SSLContext | None = None,
        timeout: float = 10.0,
        max_connections: int = 10,
        prefix: str = "fanwire",
    ) -> None:
        target = PublishTarget.of(url, key, ssl, timeout, max_connections, prefix)
        poster: Poster = NatsPoster(target) if target.is_nats else HttpPoster(target)
        self._poster = poster

        async def post(body: bytes, timeout: float) -> PublishAnswer:
            return poster.post(body, timeout)

        async def sleep(seconds: float) -> None:
            time.sleep(seconds)  # noqa: ASYNC251 - no loop runs it

        self._calls = PublishCalls(target, post, sleep)

    def publish(
        self,
        room: str,
        data: Any,
        key: str | None = None,
        *,
        delivery: str | None = None,
        id: str | None = None,
        where: Where | Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Published:
        """Publishes a message, and waits until the server has confirmed it. May be called from any thread.

        Args:
            room: the room's name, 1 to 255 bytes of UTF-8.
            data: bytes for a binary message, str for a text message, any other value of docs/values.md as JSON.
            key: in a room with delivery "latest", the key whose newest value the message is; None: no key.
            delivery: the delivery class of this message; None: that of the room.
            id: the message's id in the room, 1 to 200 bytes. A message whose id the server has seen in the room within
                two minutes is not published again. None: a new id.
            where: a condition over the attributes of members, as in `Server.publish`; None: no condition.
            tags: values by name for the filters of members, as in `Server.publish`; None: no tags.
            timeout: seconds for this message; None: those of the publisher.

        Returns:
            The message's number, and its position if the room keeps a history.

        Raises:
            TypeError, ValueError: as `Server.publish`; nothing was sent.
            RequestFailed: the server has refused the message, such as "unauthorized" or "bad_room"; it was not
                published.
            Unavailable: no server has confirmed the message in time, so it is unknown whether it was published. Try
                again with the same `id`.
            ConnectionFailed: what answers is no Fanwire server.
            Closed: the publisher is closed.

        Example::

            published = publisher.publish("orders.42", {"state": "paid"}, id="payment-17")
            print(published.seq)
        """
        publication = Publication(room, data, key, delivery, id, where, tags)
        return _ended(self._calls.publish(publication, timeout))

    def publish_many(
        self, messages: Iterable[Publication | tuple[Any, ...]], *, timeout: float | None = None
    ) -> list[Published]:
        """Publishes many messages, in batches, and waits until the server has confirmed them. Much cheaper for each
        message than `publish`.

        They are published in their order, except for a message that the server refuses at first, because it is at a
        limit: it is sent again, after those of its batch. A message may fail while others are published.

        Args:
            messages: at most 100,000; each a `Publication`, or a tuple `(room, data)` with, if needed, key, delivery
                and id behind.
            timeout: seconds for each batch of at most 500 messages; None: those of the publisher. After a batch that no
                server has confirmed, the others are not sent.

        Returns:
            One result for each message, in their order.

        Raises:
            TypeError, ValueError: a message is invalid; the text names its place, and nothing was sent.
            PublishFailed: some messages failed; its `results` have what became of each.
            Closed: the publisher is closed.

        Example::

            publisher.publish_many([("prices", {"bid": 1.08}, "EURUSD"), ("news", "hello")])
        """
        return _ended(self._calls.publish_many(messages, timeout))

    def close(self) -> None:
        """Closes the connections. Later calls raise `Closed`, and so do calls that would have to try again. A publisher
        need not be closed: the end of the process does that."""
        self._calls.is_closed = True
        self._poster.close()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _ended(call: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that never suspends, and returns its result."""
    try:
        call.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a call of Publisher has waited for an event loop")
