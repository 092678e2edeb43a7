"""Tells players which of their inputs the application's loop has processed. On the loop's thread only."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextvars import ContextVar
from typing import TypeVar

from fanwire._engine import Engine
from fanwire.errors import ENGINE_ERRORS
from fanwire.rooms.inputs import Inputs
from fanwire.runtime.session_messages import SessionMessages

__all__ = ["InputEchoes", "LoopRun"]

T = TypeVar("T")


class LoopRun:
    """One run of a loop of the application: its functions of one edge, also while they are awaited.

    Attributes:
        rooms: whose inputs it has taken.
    """

    __slots__ = ("is_over", "rooms")

    def __init__(self) -> None:
        self.rooms: set[str] = set()
        self.is_over = False

    def call(self, function: Callable[[], T]) -> T:
        """Calls a function. What it takes is this run's, also in the tasks that it starts."""
        token = _RUN.set(self)
        try:
            return function()
        finally:
            _RUN.reset(token)


_RUN: ContextVar[LoopRun | None] = ContextVar("fanwire_loop_run", default=None)


class InputEchoes:
    """The answers to inputs. They leave right before what the application has published since it took the inputs.

    So a room whose inputs were taken stays until the run of the application's loop that took them is over. If runs of
    several loops have taken from one room, it stays until all of them are: the number of an answer is that of the last.

    Args:
        engine: knows the numbers of the rooms.
        messages: encodes.
        inputs: what was taken.
    """

    def __init__(self, engine: Engine, messages: SessionMessages, inputs: Iterable[Inputs]) -> None:
        self._engine = engine
        self._messages = messages
        self._inputs = list(inputs)
        self._loop = asyncio.get_running_loop()
        self._is_due = False
        self._stopped: set[str] = set()
        # How many runs have taken inputs of a room and are not over.
        self._holds: Counter[str] = Counter()
        for one in self._inputs:
            one._begin(self._was_taken)

    def over(self, run: LoopRun) -> None:
        """A run has ended: what it has taken is processed."""
        run.is_over = True
        for room in run.rooms:
            self._holds[room] -= 1
            if not self._holds[room]:
                del self._holds[room]

    def flush(self, rate: int) -> None:
        """Lets the rooms of a rate leave, behind the answers that are due.

        Raises:
            Closed: the engine has ended.
        """
        done = self._done()
        self._engine.flush_tick(rate, self._envelopes(done), done)

    def send(self) -> None:
        """Sends the answers that are due without a tick. Rooms leave at their edges again."""
        self._is_due = False
        done = self._done()
        try:
            for connection_id, codec, envelope in self._envelopes(done):
                self._engine.send_envelope(connection_id, codec, envelope)
            for room in done:
                self._engine.stop_in_tick(room, False)
        except ENGINE_ERRORS:
            # The engine has ended, and all connections with it.
            pass

    def _done(self) -> list[str]:
        """Takes the rooms whose inputs were taken, and by no run that is not over."""
        done = [room for room in self._stopped if room not in self._holds]
        self._stopped.difference_update(done)
        return done

    def _envelopes(self, rooms: Collection[str]) -> list[tuple[int, str, bytes]]:
        found = []
        numbers: dict[str, int] = {}
        for inputs in self._inputs:
            for connection, room, number in inputs._untold(rooms):
                session = connection._session
                if session is None:
                    continue
                if room not in numbers:
                    numbers[room] = self._engine.next_in_tick(room)
                envelope = self._messages.envelope(
                    session, "inputs", room=room, seq=numbers[room], payload={"number": number}
                )
                found.append((connection.id, session.codec.name, envelope))
        return found

    def _was_taken(self, room: str) -> None:
        if room not in self._stopped:
            self._stopped.add(room)
            with contextlib.suppress(*ENGINE_ERRORS):
                # Before the application publishes what includes the inputs.
                self._engine.stop_in_tick(room, True)
        run = _RUN.get()
        if run is not None and not run.is_over:
            if room not in run.rooms:
                run.rooms.add(room)
                self._holds[room] += 1
        elif not self._is_due:
            self._is_due = True
            self._loop.call_soon(self.send)
