"""Who is read when: those first who have had little of the loop's time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from fanwire.health import Health
from fanwire.turns import give_way

__all__ = ["Rota"]


class Rota:
    """Sources that have stopped, in rows by how much of the loop's time they have had (a multilevel feedback queue). In
    each turn of the loop one goes on, mostly of those with the least.

    uvloop reads up to 32 times from one socket before it looks at another. A source that stops after every read that
    took long, and waits here, keeps the loop from others for one read at a time, however many sources do the same. One
    that seldom sends goes before hundreds that always do: by fair shares it would wait as one of so many.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, health: Health | None = None) -> None:
        self._loop = loop
        self._health = health or Health()
        self._rows: list[deque[Callable[[], object]]] = [deque() for _ in range(ROWS)]
        self._waiting = 0
        self._turns = 0

    def put(self, go_on: Callable[[], object], debt: float) -> None:
        """Has it called when it is its turn, not before the next turn of the loop.

        Args:
            go_on: lets the source go on.
            debt: seconds until it has paid for the time it had, less its credit; see `Pace`.
        """
        if not self._waiting:
            self._loop.call_soon(self._turn)
        self._waiting += 1
        row = 0 if debt <= 0 else 1 + int(debt / STEP).bit_length()
        self._rows[min(row, ROWS - 1)].append(go_on)

    def __len__(self) -> int:
        return self._waiting

    def _turn(self) -> None:
        give_way()
        self._turns += 1
        # Or those with the most would never go on as long as others come.
        rows = self._rows if self._turns % MOST else reversed(self._rows)
        go_on = next(row for row in rows if row).popleft()
        self._waiting -= 1
        if self._waiting:
            self._loop.call_soon(self._turn)
        try:
            go_on()
        except BaseException as error:  # noqa: BLE001 - one source's fault must not stop the others
            self._health.internal_error("reading", error)


MOST = 4
"""One turn in so many is of one of those with the most."""

ROWS = 8

STEP = 0.01
"""Seconds of debt in the second row; each further row has twice as much."""
