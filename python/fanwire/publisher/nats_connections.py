"""Connections of publishers to NATS, by the engine's client, which has a thread of its own for each connection."""

from __future__ import annotations

import os
import secrets
from typing import Any

from fanwire._engine import NatsConnection
from fanwire.backplane.access import Access
from fanwire.backplane.publish_exchange import (
    ASK,
    HERE,
    NODES,
    PUBLISH,
    PUBLISHERS,
    RESULTS,
    PublishExchange,
    pack_exchange,
    unpack_exchange,
)
from fanwire.backplane.subjects import token_of
from fanwire.publisher.delivering import PublishAnswer
from fanwire.publisher.http_poster import PostFailed, PostTooLarge
from fanwire.publisher.target import PublishTarget

__all__ = ["NatsPublisherConnection"]


class NatsPublisherConnection:
    """A connection to NATS, and the node that publishes for it. Without waiting: `fileno` is readable when `take` has
    something to do.

    Args:
        target: the NATS server, and the prefix of the subjects.

    Attributes:
        process: the process that it belongs to.
        node: the tag of the node; None: it is not known yet.
        is_ready: whether NATS delivers answers.
        is_over: whether it has ended and cannot be used again.
    """

    def __init__(self, target: PublishTarget) -> None:
        self.process = os.getpid()
        self._id = secrets.token_hex(8)
        self._prefix = token_of(target.prefix)
        access = Access([target.url])
        self._nats = NatsConnection(
            access.places,
            node=self._id,
            echo=f"{self._prefix}.echo.{self._id}",
            token=access.token,
            password=access.password,
            timeout=TIMEOUT,
            retry=RETRY,
            ping=PING,
            max_bytes=PENDING,
        )
        self._nats.subscribe(1, f"{self._prefix}.live.{token_of(PUBLISHERS + self._id)}.*")
        self._nats.sync(1)
        self._nats.flush()
        self._number = 0
        self.is_ready = self.is_over = False
        self.node: str | None = None
        self._said = "no answer"

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._nats.fileno()

    def ask(self) -> None:
        """Asks which nodes are there: the first to answer becomes `node`."""
        self._send(NODES, PublishExchange(ASK, self._id, 0))

    def publish(self, body: bytes) -> int:
        """Sends a batch to the node, and returns the number of the request.

        Raises:
            PostTooLarge: it is larger than the NATS server allows.
            PostFailed: it cannot be sent.
        """
        assert self.node is not None  # noqa: S101 - the callers have asked
        self._number += 1
        most = self._nats.max_payload
        if most is not None and len(body) > most - HEAD:
            raise PostTooLarge(f"the message is larger than the limit of the NATS server ({most} bytes)")
        if not self._send(NODES + self.node, PublishExchange(PUBLISH, self._id, self._number, body=body)):
            raise PostFailed("not connected to NATS")
        return self._number

    def take(self) -> dict[int, PublishAnswer]:
        """Takes what has come, and returns the answers by the numbers of their requests."""
        found: dict[int, PublishAnswer] = {}
        for kind, *what in self._nats.take(AT_ONCE):
            if kind == "heard":
                self._take(what[1], found)
            elif kind == "synced":
                self.is_ready = True
            elif kind == "ended":
                self.is_over = True
                raise PostFailed(f"the connection to NATS has ended: {what[0]}")
            elif kind == "complained":
                self._said = str(what[0])
        return found

    def unanswered(self) -> PostFailed:
        """The error if nothing comes. Another node is asked for the next time."""
        if not self._nats.is_up:
            return PostFailed(f"not connected to NATS: {self._said}")
        if self.node is None:
            return PostFailed("no node of Fanwire answers over NATS")
        self.node = None
        return PostFailed("the node does not answer over NATS")

    def close(self) -> None:
        """Ends the connection."""
        self._nats.close(TIMEOUT)

    def _take(self, data: Any, found: dict[int, PublishAnswer]) -> None:
        try:
            exchange = unpack_exchange(data)
        except ValueError:
            return
        if exchange.kind == HERE and self.node is None:
            self.node = exchange.sender
        elif exchange.kind == RESULTS:
            found[exchange.number] = PublishAnswer(exchange.status, exchange.body)

    def _send(self, name: str, exchange: PublishExchange) -> bool:
        is_sent = self._nats.send(f"{self._prefix}.live.{token_of(name)}.{self._id}", pack_exchange(exchange))
        self._nats.flush()
        return is_sent


TIMEOUT = 2.0
"""Seconds for an attempt to connect, and to close."""

RETRY = 0.25
"""Seconds between two attempts to connect."""

PING = 5.0
"""Seconds between pings. After two without an answer the connection counts as lost."""

PENDING = 4 << 20
"""The most bytes that wait to be sent: some batches."""

AT_ONCE = 64
"""Events that are taken at once."""

HEAD = 256
"""Bytes of a request besides its body."""
