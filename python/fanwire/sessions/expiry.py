"""The expiry of identities and the maximal age of connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

from fanwire.config import Config
from fanwire.connection import Connection
from fanwire.identity.identity import expiry_of
from fanwire.observability.health import Health
from fanwire.state import ConnectionState
from fanwire.timing import clock
from fanwire.timing.timer_wheel import TimerWheel

__all__ = ["ExpiryOwner", "Lifetimes"]


class ExpiryOwner(Protocol):
    """Takes the events of an expiry."""

    def expiring(self, connection: Connection, seconds: float) -> None:
        """The identity expires in so many seconds. The client may send a new token."""

    def expired(self, connection: Connection) -> None:
        """The identity has expired; the grace begins."""

    def end_expired(self, connection: Connection) -> None:
        """The grace is over."""

    def aged(self, connection: Connection) -> None:
        """The connection has reached `max_age`: the client should reconnect."""


class Lifetimes:
    """A timer for each connection whose identity expires or whose age is limited. On the loop's thread only.

    Expiry is a time of the wall clock, which may jump; timers have a clock that does not. So each timer checks the wall
    clock again, after an hour at the latest.

    Args:
        config: has `token_notice`, `token_grace` and `max_age`.
        owner: takes the events.
        wall: returns seconds since 1970.
        health: logs and counts errors of timers; None: a new one.
    """

    def __init__(
        self, config: Config, owner: ExpiryOwner, wall: Callable[[], float] = clock.wall, health: Health | None = None
    ) -> None:
        self._health = health or Health()
        self._config = config
        self._owner = owner
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._lives: dict[int, _Life] = {}
        self._timers = TimerWheel(self._loop, self._look)

    def begin(self, connection: Connection, aged_at: float | None = None) -> None:
        """Begins the timer of a connection that is new, or has a new transport or identity.

        Args:
            connection: with its identity.
            aged_at: when it reaches `max_age`, in seconds of the loop's clock; None: `max_age` (±10 %) from now.
        """
        self.end(connection)
        expires = expiry_of(connection.identity)
        age = self._config.max_age
        if expires is None and not age:
            return
        life = self._lives[connection.id] = _Life(connection, expires)
        if expires is not None:
            left = expires - self._wall()
            life.notice = min(self._config.token_notice, max(0.0, left) / 2)
            if left > life.notice and not age:
                # The usual case, faster than `_look`: there is nothing to do yet.
                life.timer = self._timers.set(life, min(LOOK, left - life.notice))
                return
        if age:
            # Random, so that clients that have connected together do not reconnect together.
            life.aged_at = aged_at or self._loop.time() + age * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, hides nothing
        self._look(life)

    def renewed(self, connection: Connection) -> None:
        """Begins the timer again for a new identity over the same transport, whose age stays. Does nothing for a
        connection that is not open: it has no timer."""
        if connection.state is not ConnectionState.OPEN:
            return
        old = self._lives.get(connection.id)
        self.begin(connection, None if old is None else old.aged_at)

    def end(self, connection: Connection) -> None:
        """Ends the timer of a connection that has ended or is parked."""
        life = self._lives.pop(connection.id, None)
        if life is not None and life.timer is not None:
            self._timers.cancel(life, life.timer)

    def close(self) -> None:
        """Ends all timers."""
        self._lives.clear()
        self._timers.close()

    def expires_in(self, connection: Connection) -> float | None:
        """Seconds until the identity of a connection expires; None: never."""
        expires = expiry_of(connection.identity)
        return None if expires is None else expires - self._wall()

    def _look(self, life: _Life) -> None:
        """Sends the events that are due, and sets the timer to the next one."""
        connection = life.connection
        try:
            self._do_what_is_due(connection, life)
        except BaseException as error:  # noqa: BLE001 - without a timer the identity would never expire
            self._health.internal_error("the end of an identity", error)
            if self._lives.get(connection.id) is life:
                life.timer = self._timers.set(life, AGAIN)

    def _do_what_is_due(self, connection: Connection, life: _Life) -> None:
        life.timer = None
        if connection.state is not ConnectionState.OPEN:
            self.end(connection)
            return
        now = self._loop.time()
        waits = [LOOK]
        if life.expires is not None:
            left = life.expires - self._wall()
            if left <= -self._config.token_grace:
                self.end(connection)
                self._owner.end_expired(connection)
                return
            if left <= 0:
                if not life.is_expired:
                    life.is_expired = life.is_told = True
                    self._owner.expired(connection)
                waits.append(left + self._config.token_grace)
            elif left <= life.notice:
                if not life.is_told:
                    life.is_told = True
                    self._owner.expiring(connection, left)
                waits.append(left)
            else:
                waits.append(left - life.notice)
        if life.aged_at is not None:
            if now >= life.aged_at:
                life.aged_at = None
                self._owner.aged(connection)
            else:
                waits.append(life.aged_at - now)
        if self._lives.get(connection.id) is life:
            life.timer = self._timers.set(life, min(waits))


class _Life:
    __slots__ = ("aged_at", "connection", "expires", "is_expired", "is_told", "notice", "timer")

    def __init__(self, connection: Connection, expires: float | None) -> None:
        self.connection = connection
        self.expires = expires
        self.notice = 0.0
        self.aged_at: float | None = None
        self.is_told = False
        self.is_expired = False
        self.timer: int | None = None


LOOK = 3600.0
"""The most seconds between two looks at the wall clock."""

AGAIN = 1.0
"""Seconds until an event that failed is sent again, for example because the engine was overloaded."""
