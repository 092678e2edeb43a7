"""What NATS pushes to a node, and what the node sends without waiting for an answer: over the engine's `Line`, in Rust.
Of what is for live rooms the loop sees nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import count

from fanwire._engine import Inlet, Line
from fanwire.backplane.access import Access
from fanwire.backplane.base import Listener, Stored, Unavailable

__all__ = ["Push"]

logger = logging.getLogger("fanwire.backplane")


class Push:
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
        self._ids = count(1)
        # The log, if it is of one, and the room or the name of each subscription.
        self._places: dict[int, tuple[str | None, str]] = {}
        self._syncing: dict[int, asyncio.Future[None]] = {}
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._line = Line(
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
        self._loop.add_reader(self._line.fileno(), self._take)

    async def opened(self) -> None:
        """Waits for the connection.

        Raises:
            Unavailable: there is none.
        """
        try:
            await asyncio.wait_for(asyncio.shield(self._opened), TIMEOUT)
        except asyncio.TimeoutError as error:
            raise Unavailable("no answer in time") from error

    async def close(self) -> None:
        """Sends what waits, and disconnects."""
        self._loop.remove_reader(self._line.fileno())
        self._opened.cancel()
        for waiting in self._syncing.values():
            waiting.cancel()
        await self._loop.run_in_executor(None, self._line.close, TIMEOUT)

    @property
    def is_up(self) -> bool:
        """Whether it is connected, and all that is subscribed to comes."""
        return self._line.is_up

    @property
    def counts(self) -> tuple[int, int, int]:
        """Messages and bytes that have come, and how often it has connected."""
        return self._line.counts()

    def reconnect(self) -> None:
        """Makes another connection."""
        self._line.reconnect()

    def send(self, subject: str, data: bytes) -> bool:
        """Sends a message, from any thread. False: it was not even tried."""
        return self._line.send(subject, data)

    def subscribe(self, subject: str, log: str | None, name: str, inlet: Inlet | None = None) -> int:
        """After `sync`, what comes to a subject is told the listener, as of that log or name, or all ("").

        Returns:
            What `unsubscribe` wants.
        """
        number = next(self._ids)
        self._places[number] = log, name
        self._line.subscribe(number, subject, inlet, is_log=log is not None)
        return number

    def unsubscribe(self, number: int) -> None:
        """Ends that."""
        del self._places[number]
        self._line.unsubscribe(number)

    async def sync(self) -> None:
        """Until the server has seen all that was done before.

        Raises:
            Unavailable: it does not answer.
        """
        ticket = next(self._ids)
        self._syncing[ticket] = done = self._loop.create_future()
        try:
            self._line.sync(ticket)
            await asyncio.wait_for(done, TIMEOUT)
        except asyncio.TimeoutError as error:
            raise Unavailable("NATS does not answer") from error
        finally:
            self._syncing.pop(ticket, None)

    def _take(self) -> None:
        """What the line has to say."""
        for kind, *what in self._line.take(AT_ONCE):
            if kind == "stored":
                self._store(*what)
            elif kind == "heard":
                self._hear(*what)
            elif kind == "missed":
                self._miss(*what)
            elif kind == "lost":
                self._lose(what)
            elif kind == "lost_some":
                self._lose(list(self._places))
            elif kind == "synced":
                settle(self._syncing.get(what[0]))
            elif kind == "complained":
                # Each attempt to connect fails with one of these; that it is away was said.
                logger.debug("NATS: %s", what[0])
            elif kind == "ended":
                self._end(what[0])
            else:
                settle(self._opened)
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

    def _end(self, why: str) -> None:
        if not self._opened.done():
            self._opened.set_exception(Unavailable(why))
            return
        logger.error("the connection to NATS has failed for good, start this node again: %s", why)
        self._changed()


def settle(future: asyncio.Future[None] | None) -> None:
    """Says that something is so, to whoever still waits for it."""
    if future is not None and not future.done():
        future.set_result(None)


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
