"""A node's connection to NATS: the engine's `NatsConnection`, as the event loop uses it. Messages of live rooms do not
pass through the loop."""

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
    """An answer.

    Attributes:
        status: 0 if it has none, which is success.
        headers: by name.
        data: the payload.
    """

    status: int
    headers: dict[str, str]
    data: bytes


class NATSClient:
    """See the module's head. On the loop's thread, but for `send`.

    Args:
        access: to NATS.
        node: what ends the subjects of our own messages, which are not heard.
        echo: a subject that is ours alone.
        listener: is told what comes.
        changed: is called when `is_up` may have changed.
    """

    def __init__(self, access: Access, node: str, echo: str, listener: Listener, changed: Callable[[], None]) -> None:
        self._listener = listener
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._is_flushing = False
        self._ids = count(1)
        # The log, if it is of one, and the room or the name of each subscription.
        self._places: dict[int, tuple[str | None, str]] = {}
        self._syncing: dict[int, asyncio.Future[None]] = {}
        self._asking: dict[int, asyncio.Future[list[Reply]]] = {}
        # What NATS complained of last.
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
            Unavailable: there is none.
        """
        try:
            # A little longer than it tries by itself: it knows why.
            await within(asyncio.shield(self._opened), TIMEOUT + 1)
        except asyncio.TimeoutError as error:
            raise Unavailable(self._said or "no answer in time") from error

    async def close(self) -> None:
        """Sends what waits, and disconnects."""
        self._loop.remove_reader(self._connection.fileno())
        self._opened.cancel()
        for waiting in self._syncing.values():
            waiting.cancel()
        self._give_up("the backplane is closed")
        await self._loop.run_in_executor(None, self._connection.close, TIMEOUT)

    @property
    def is_up(self) -> bool:
        """Whether it is connected, and all that is subscribed to comes."""
        return self._connection.is_up

    @property
    def counts(self) -> tuple[int, int, int]:
        """Messages and bytes that have come, and how often it has connected."""
        return self._connection.counts()

    @property
    def max_payload(self) -> int:
        """Bytes of a message, headers included, that the server takes."""
        return self._connection.max_payload or 1 << 20

    def reconnect(self) -> None:
        """Makes another connection."""
        self._connection.reconnect()
        self._flush()

    def send(self, subject: str, data: bytes) -> bool:
        """Sends a message, from any thread. False: it was not even tried."""
        is_taken = self._connection.send(subject, data)
        if threading.get_ident() == self._thread:
            self._flush()
        else:
            self._connection.flush()
        return is_taken

    def subscribe(self, subject: str, log: str | None, name: str, ingress: Ingress | None = None) -> int:
        """After `sync`, what comes to a subject is told the listener, as of that log or name, or all ("").

        Returns:
            What `unsubscribe` wants.
        """
        number = next(self._ids)
        self._places[number] = log, name
        self._connection.subscribe(number, subject, ingress, is_log=log is not None)
        self._flush()
        return number

    def unsubscribe(self, number: int) -> None:
        """Ends that."""
        del self._places[number]
        self._connection.unsubscribe(number)
        self._flush()

    async def sync(self) -> None:
        """Until the server has seen all that was done before.

        Raises:
            Unavailable: it does not answer.
        """
        ticket = next(self._ids)
        self._syncing[ticket] = done = self._loop.create_future()
        try:
            self._connection.sync(ticket)
            self._flush()
            await within(done, TIMEOUT)
        except asyncio.TimeoutError as error:
            raise Unavailable("NATS does not answer") from error
        finally:
            self._syncing.pop(ticket, None)

    async def ask(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> Reply:
        """Sends a request, and waits for its answer.

        Raises:
            Unavailable: there is none.
        """
        (reply,) = await self._ask(subject, data, headers or {}, False)
        return reply

    async def ask_for_all(self, subject: str, data: bytes) -> list[Reply]:
        """The same for a request with several answers, the last of which has a status."""
        return await self._ask(subject, data, {}, True)

    async def _ask(self, subject: str, data: bytes, headers: dict[str, str], is_batch: bool) -> list[Reply]:
        if not self.is_up:
            raise Unavailable("NATS is away")
        ticket = next(self._ids)
        answer: asyncio.Future[list[Reply]] = self._loop.create_future()
        self._asking[ticket] = answer
        try:
            # There is an answer in any case, though it may be that there is none.
            self._connection.ask(ticket, subject, data, list(headers.items()), is_batch)
            self._flush()
            return await answer
        finally:
            del self._asking[ticket]

    def _flush(self) -> None:
        """Has it done when the loop has come round: others may have more."""
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._is_flushing = False
        self._connection.flush()

    def _take(self) -> None:
        """What the line has to say."""
        interrupt: BaseException | None = None
        for kind, *what in self._connection.take(AT_ONCE):
            # Whatever one of them raises, the others must not be lost: they may be answers that somebody waits for.
            try:
                self._tell(kind, what)
            except (KeyboardInterrupt, SystemExit) as error:  # noqa: PERF203 - as the comment says
                interrupt = error
            except BaseException as error:  # noqa: BLE001 - a panic of the engine is no `Exception`
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
            fail(self._asking.get(ticket), f"NATS does not answer: {why}")
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
            if self.is_up:
                self._listener.complained(what[0])
            else:
                # Each attempt to connect fails with one of these; that it is away was said.
                logger.debug("NATS: %s", what[0])
        elif kind == "ended":
            self._end(what[0])
        else:
            settle(self._opened, None)
            self._changed()

    def _hear(self, number: int, data: bytes) -> None:
        _, name = self._places.get(number, NOBODY)
        if name:
            self._listener.heard(name, data)
        else:
            self._listener.told(data)

    def _store(self, number: int, seq: int, prev: int, data: bytes) -> None:
        log, room = self._places.get(number, NOBODY)
        if log is not None:
            self._listener.stored(log, room, Stored(seq, prev, data))

    def _miss(self, number: int, messages: int, fault: str | None) -> None:
        _, name = self._places.get(number, NOBODY)
        if name:
            self._listener.missed(name, messages, fault)

    def _lose(self, numbers: list[int]) -> None:
        for number in numbers:
            log, name = self._places.get(number, NOBODY)
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
        logger.error("the connection to NATS has failed for good, start this node again: %s", why)
        self._changed()


def settle(future: asyncio.Future[T] | None, result: T) -> None:
    """Says what has come of something, to whoever still waits for it."""
    if future is not None and not future.done():
        future.set_result(result)


def fail(future: asyncio.Future[Any] | None, why: str) -> None:
    """Says that nothing will, to whoever still waits for it."""
    if future is not None and not future.done():
        future.set_exception(Unavailable(why))


NOBODY = (None, "")

TIMEOUT = 2.0
"""Seconds that connecting, or an answer, may take: a cluster elects a leader in less."""

RETRY = 0.25
"""Seconds between two attempts to connect."""

PING = 1.0
"""Seconds between pings; two without an answer, and the connection counts as lost."""

PENDING = 16 << 20
"""Bytes that may wait to be sent, a tenth of a second at gigabits, and as many may wait for our loop. Beyond it they
are lost, and we know."""

AT_ONCE = 256
"""Things that the loop takes before others have a turn."""
