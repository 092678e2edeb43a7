"""A clock for tests, which can be advanced: what would take minutes happens at once, in the right order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType

from fanwire.handshake.newcomers import Newcomers
from fanwire.testing.loop_timers import EDGE, LoopTimers
from fanwire.testing.waiting import pause
from fanwire.timing import clock
from fanwire.timing.clock import Clocks
from fanwire.timing.lateness import Lateness
from fanwire.values.checks import check_number

__all__ = ["FakeClock"]


class FakeClock:
    """The clock of the running event loop and of Fanwire's own deadlines. It goes by itself; `advance` sets it ahead.

    It governs all timers of the event loop that are set while it is entered: `asyncio.sleep` and timeouts of the
    application, grace periods, the expiry of identities, the heartbeats and reconnects of `fanwire.connect`. It also
    governs the times that Fanwire compares: the expiry of tokens (`fanwire.auth.JWT`), the ids of `publish_acked`, the
    answers of `authorize`, the records of sessions.

    It does not govern the engine, whose threads use the system's clock: pings of the server, limits of rates, the age
    of a history (`history_age`), timeouts of handshakes, writes and closes, the time of a message (`Message.ts`). Nor
    `time.time()` of the application, other event loops, other processes.

    Enter it before servers start and clients connect, and leave it after their end: the time goes back then.

    Args:
        settle: seconds, by the system's clock, that `advance` gives sockets and threads after each step.

    Raises:
        RuntimeError: there is no running event loop, or another `FakeClock` is entered in this process.

    Example::

        async def a_session_is_kept_for_30_seconds(server: fanwire.Server) -> None:
            with FakeClock() as clock:
                async with running(server):
                    await clock.advance(30)
    """

    def __init__(self, *, settle: float = 0.005) -> None:
        self._settle_seconds = check_number("settle", settle, least=0)
        self._timers: LoopTimers | None = None
        self._loop: asyncio.AbstractEventLoop
        self._before: Clocks
        self._is_advancing = False
        # How far it is ahead of the system's clocks, and the time of both where it stands.
        self._ahead = 0.0
        self._stands: tuple[float, float] | None = None

    def __enter__(self) -> FakeClock:
        global _entered
        if _entered is not None:
            raise RuntimeError("another FakeClock is entered in this process: use that one, or leave it first")
        self._loop = asyncio.get_running_loop()
        self._timers = LoopTimers(self._loop)
        self._timers.install()
        self._before = clock.use(Clocks(self.monotonic, self.time))
        _entered = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _entered
        _entered = None
        clock.use(self._before)
        timers, self._timers = self._timers, None
        if timers is not None:
            timers.remove()

    def time(self) -> float:
        """Seconds since 1970 by this clock, such as for `fanwire.Identity(expires=...)` or the claim `exp`."""
        return time.time() + self._ahead if self._stands is None else self._stands[0]

    def monotonic(self) -> float:
        """Seconds that never go back, by this clock."""
        return time.monotonic() + self._ahead if self._stands is None else self._stands[1]

    async def advance(self, seconds: float, *, settle: float | None = None) -> None:
        """Sets the clock ahead. Every timer that is due until then has run when this returns, in the order of the
        times, and each one at its own time: a loop with `asyncio.sleep(1)` runs 30 times in `advance(30)`.

        The clock stands while this runs. After each step the loop runs what is ready, and `settle` seconds pass, so
        that messages that a timer has caused are read. An hour takes some seconds.

        Args:
            seconds: how far, at least 0.
            settle: for this call instead of that of the clock; None: that of the clock. With 0 connected clients find
                their pings unanswered, and take their connection for lost.

        Raises:
            TypeError, ValueError: the argument is no number, or less than 0.
            RuntimeError: the clock is not entered, is advanced by another task, belongs to another event loop, or
                10,000 steps were not enough, because a timer sets itself again and again.
        """
        check_number("seconds", seconds, least=0)
        rest = self._settle_seconds if settle is None else check_number("settle", settle, least=0)
        timers = self._timers
        if timers is None:
            raise RuntimeError("the clock is not entered: advance it within `with FakeClock() as clock`")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("the clock belongs to another event loop")
        if self._is_advancing:
            raise RuntimeError("another task advances the clock")
        self._is_advancing = True
        begin = timers.time()
        walls = self.time() - begin, self.monotonic() - begin
        try:
            self._stand(timers, begin, walls)
            await _settle(rest)
            await self._step_to(timers, begin + seconds, walls, rest)
        finally:
            self._is_advancing = False
            wall, _ = self._stands or (self.time(), 0.0)
            self._stands = None
            self._ahead = wall - time.time()
            timers.go_on()

    async def _step_to(self, timers: LoopTimers, end: float, walls: tuple[float, float], settle: float) -> None:
        rung: list[Callable[..., object]] = []
        steps = 0
        while steps < MOST_STEPS:
            next_at = timers.earliest()
            if next_at is None or next_at > end + EDGE:
                steps += 1
                self._stand(timers, end, walls)
                await _settle(settle)
                if (last := timers.earliest()) is None or last > end + EDGE:
                    return
                continue
            self._stand(timers, max(timers.time(), next_at), walls)
            rung = timers.run_due()
            if all(map(_is_quiet, rung)):
                await _turn(QUIET_TURNS)
            else:
                steps += 1
                await _settle(settle)
        raise RuntimeError(
            f"{MOST_STEPS} steps were not enough, {end - timers.time():g} s are left: advance in smaller pieces, or "
            f"look at the timer that is set again and again; the last called {rung}"
        )

    def _stand(self, timers: LoopTimers, at: float, walls: tuple[float, float]) -> None:
        timers.stand_at(at)
        self._stands = at + walls[0], at + walls[1]


def _is_quiet(callback: Callable[..., object]) -> bool:
    """Whether a timer has no effect that takes time: a server looks each second whether it is ready, and ten times a
    second how late the loop is."""
    return getattr(callback, "__func__", None) in (Newcomers._tell_ready, Lateness._look)


async def _settle(seconds: float) -> None:
    await _turn(TURNS)
    if seconds:
        await pause(seconds)
        await _turn(TURNS)


async def _turn(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


MOST_STEPS = 10_000
"""Steps of one call that have an effect: at 5 ms each nearly a minute, which is what a test may take."""

TURNS = 10
"""Turns of the loop after a step: a callback wakes a task, which wakes another one, and so on."""

QUIET_TURNS = 2
"""Turns after a step that wakes nobody: its timers run in the first one."""

_entered: FakeClock | None = None
