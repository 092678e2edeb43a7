"""A node's connection to NATS, for the event loop.

It is the engine's `NatsConnection`, in Rust, which delivers messages of live rooms to the engine itself.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple, TypeVar

from fanwire._engine import Ingress, NatsConnection
from fanwire.backplane.access import Access
from fanwire.backplane.base import Listener, Stored, Unavailable
from fanwire.timing.deadline import within

__all__ = ["NATSClient", "Reply"]

logger = logging.getLogger("fanwire.backplane")
T = TypeVar("T")


class Reply(NamedTuple):
    """An answer of NATS.

    Attributes:
        status: its status; 0: it has none, which is success.
        headers: its headers, by name.
        data: its payload.
    """

    status: int
    headers: dict[str, str]
    data: bytes


class NATSClient:
    """A connection to NATS. On the loop's thread, except for `send`.

    Args:
        access: the servers and credentials.
        node: the end of the subjects of this node's own messages, which are not heard.
        echo: a subject that only this node uses.
        listener: takes what comes.
        changed: is called with False when the connection was lost, and with True when it is back. Each loss is told,
            even one that was over before the loop has read about it.
    """

    def __init__(
        self, access: Access, node: str, echo: str, listener: Listener, changed: Callable[[bool], None]
    ) -> None:
        self._listener = listener
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._is_flushing = False
        # What was told last.
        self._is_up = False
        self._ids = count(1)
        # Of each subscription: the log and the room, or None and the name.
        self._places: dict[int, tuple[str | None, str]] = {}
        self._syncing: dict[int, asyncio.Future[None]] = {}
        self._asking: dict[int, asyncio.Future[list[Reply]]] = {}
        # The last error of NATS.
        self._said = ""
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._connection = NatsConnection(
            access.places,
            node=node,
            echo=echo,
            token=access.token,
            password=access.password,
            credentials=access.credentials,
            ca=access.ca,
            certificate=access.certificate,
            timeout=TIMEOUT,
            retry=RETRY,
            ping=PING,
            max_bytes=PENDING,
        )
        self._loop.add_reader(self._connection.fileno(), self._take)

    async def opened(self) -> None:
        """Waits for the connection.

        Raises:
            Unavailable: there is no connection after 3 s; the text has the reason.
        """
        try:
            # A second longer than the engine tries, which then reports the reason.
            await within(asyncio.shield(self._opened), TIMEOUT + 1)
        except asyncio.TimeoutError as error:
            raise Unavailable(self._said or f"no answer within {TIMEOUT + 1:g} s") from error

    async def close(self) -> None:
        """Sends the waiting messages, and disconnects."""
        self._loop.remove_reader(self._connection.fileno())
        self._opened.cancel()
        for waiting in self._syncing.values():
            waiting.cancel()
        self._give_up("the backplane is closed")
        await self._loop.run_in_executor(None, self._connection.close, TIMEOUT)

    @property
    def is_up(self) -> bool:
        """Whether it is connected, all subscriptions are made, and the loop has read of that."""
        # Until then nothing is repaired: a heartbeat of before the loss would look as if this node were deaf.
        return self._is_up and self._connection.is_up

    @property
    def counts(self) -> tuple[int, int, int]:
        """The number of messages and bytes received, and of connections made."""
        return self._connection.counts()

    @property
    def max_payload(self) -> int:
        """The most bytes of a message that the server takes, with headers."""
        return self._connection.max_payload or 1 << 20

    def reconnect(self) -> None:
        """Replaces the connection."""
        self._connection.reconnect()
        self._flush()

    def send(self, subject: str, data: bytes) -> bool:
        """Sends a message, from any thread. False: it was not sent."""
        is_taken = self._connection.send(subject, data)
        if threading.get_ident() == self._thread:
            self._flush()
        else:
            self._connection.flush()
        return is_taken

    def subscribe(self, subject: str, log: str | None, name: str, ingress: Ingress | None = None) -> int:
        """Subscribes to a subject. The subscription is active after `sync`.

        Args:
            subject: of NATS.
            log: the log whose messages come; None: it is of no log.
            name: the room of the log, or the name that is heard; "": messages to all nodes.
            ingress: takes the messages; None: the listener takes them.

        Returns:
            The number of the subscription, for `unsubscribe`.
        """
        number = next(self._ids)
        self._places[number] = log, name
        self._connection.subscribe(number, subject, ingress, is_log=log is not None)
        self._flush()
        return number

    def unsubscribe(self, number: int) -> None:
        """Ends a subscription."""
        del self._places[number]
        self._connection.unsubscribe(number)
        self._flush()

    async def sync(self) -> None:
        """Waits until the server has seen all that was sent before.

        Raises:
            Unavailable: the server does not answer within 2 s.
        """
        ticket = next(self._ids)
        self._syncing[ticket] = done = self._loop.create_future()
        try:
            self._connection.sync(ticket)
            self._flush()
            await within(done, TIMEOUT)
        except asyncio.TimeoutError as error:
            raise Unavailable(f"NATS has not answered within {TIMEOUT:g} s") from error
        finally:
            self._syncing.pop(ticket, None)

    async def ask(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> Reply:
        """Sends a request, and returns its answer.

        Raises:
            Unavailable: there is no connection, or no answer.
        """
        (reply,) = await self._ask(subject, data, headers or {}, False)
        return reply

    async def ask_for_all(self, subject: str, data: bytes) -> list[Reply]:
        """Sends a request, and returns its answers, the last of which has a status."""
        return await self._ask(subject, data, {}, True)

    async def _ask(self, subject: str, data: bytes, headers: dict[str, str], is_batch: bool) -> list[Reply]:
        if not self.is_up:
            raise Unavailable("not connected to NATS")
        ticket = next(self._ids)
        answer: asyncio.Future[list[Reply]] = self._loop.create_future()
        self._asking[ticket] = answer
        try:
            # Always ends: the engine reports a timeout.
            self._connection.ask(ticket, subject, data, list(headers.items()), is_batch)
            self._flush()
            return await answer
        finally:
            del self._asking[ticket]

    def _flush(self) -> None:
        """Flushes in the next turn of the loop, together with what else is sent in this one."""
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._is_flushing = False
        self._connection.flush()

    def _take(self) -> None:
        """Takes the events of the connection."""
        interrupt: BaseException | None = None
        for kind, *what in self._connection.take(AT_ONCE):
            # An error of one event must not lose the others, which may be awaited answers.
            try:
                self._tell(kind, what)
            except (KeyboardInterrupt, SystemExit) as error:  # noqa: PERF203 - as the comment says
                interrupt = error
            except BaseException as error:  # noqa: BLE001 - a panic of the engine is a `BaseException`
                self._listener.failed(error)
        if interrupt is not None:
            raise interrupt

    def _tell(self, kind: str, what: list[Any]) -> None:
        if kind == "stored":
            self._store(*what)
        elif kind == "heard":
            self._hear(*what)
        elif kind == "answered":
            ticket, replies = what
            settle(self._asking.get(ticket), [Reply(*reply) for reply in replies])
        elif kind == "unanswered":
            ticket, why = what
            fail(self._asking.get(ticket), f"no answer from NATS: {why}")
        elif kind == "missed":
            self._miss(*what)
        elif kind == "lost":
            self._lose(what)
        elif kind == "lost_some":
            self._lose(list(self._places))
        elif kind == "synced":
            settle(self._syncing.get(what[0]), None)
        elif kind == "complained":
            self._said = what[0]
            # Not `is_up`: the connection may have been lost, or made, since it was said.
            if self._is_up:
                self._listener.complained(what[0])
            else:
                # Each failed attempt to connect has one; that the backplane is away is logged already.
                logger.debug("NATS: %s", what[0])
        elif kind == "ended":
            self._end(what[0])
        else:
            # Not the connection's own state, which may have changed twice meanwhile.
            self._is_up = kind == "up"
            if self._is_up:
                settle(self._opened, None)
            self._changed(self._is_up)

    def _hear(self, number: int, data: bytes) -> None:
        if number not in self._places:
            # It came before the subscription ended.
            return
        _, name = self._places[number]
        if name:
            self._listener.heard(name, data)
        else:
            self._listener.told(data)

    def _store(self, number: int, seq: int, prev: int, data: bytes) -> None:
        log, room = self._places.get(number, UNKNOWN)
        if log is not None:
            self._listener.stored(log, room, Stored(seq, prev, data))

    def _miss(self, number: int, messages: int, fault: str | None) -> None:
        _, name = self._places.get(number, UNKNOWN)
        if name:
            self._listener.missed(name, messages, fault)

    def _lose(self, numbers: list[int]) -> None:
        for number in numbers:
            log, name = self._places.get(number, UNKNOWN)
            if name:
                self._listener.lost(log, name)

    def _give_up(self, why: str) -> None:
        for answer in self._asking.values():
            fail(answer, why)

    def _end(self, why: str) -> None:
        if not self._opened.done():
            fail(self._opened, why)
            return
        self._give_up(why)
        logger.error("the connection to NATS has ended and cannot be made again; restart this node: %s", why)


def settle(future: asyncio.Future[T] | None, result: T) -> None:
    """Sets the result of a future, if it exists and is not done."""
    if future is not None and not future.done():
        future.set_result(result)


def fail(future: asyncio.Future[Any] | None, why: str) -> None:
    """Sets `Unavailable` on a future, if it exists and is not done."""
    if future is not None and not future.done():
        future.set_exception(Unavailable(why))


UNKNOWN = (None, "")

TIMEOUT = 2.0
"""Seconds for a connection or an answer: the election of a leader in a NATS cluster takes less."""

RETRY = 0.25
"""Seconds between two attempts to connect."""

PING = 1.0
"""Seconds between pings. After two without an answer the connection counts as lost."""

PENDING = 16 << 20
"""The most bytes that wait to be sent (0.1 s at 1 Gbit/s), and that wait for the loop. Beyond it messages are dropped
and counted."""

AT_ONCE = 256
"""Events that are taken in one turn of the loop."""
