"""What goes wrong between nodes, as states: one line in the log when a state begins, one when it ends, and counts.

A state that lasts a minute can mean thousands of messages. A line for each of them would hide everything else in the
log, so the lines say how many there were. `Troubles.counts` has the totals, for metrics.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["KINDS", "Kind", "Troubles"]

logger = logging.getLogger("fanwire.cluster")


class Kind(NamedTuple):
    """A kind of trouble.

    Attributes:
        begins: what the line says when it begins; the reason follows.
        ends: what the line says when it ends; the duration and the count follow.
        level: of the first line.
        is_proven: it ends only when something has succeeded since (`Troubles.succeeded`); otherwise when it is quiet.
    """

    begins: str
    ends: str
    level: int = logging.WARNING
    is_proven: bool = False


KINDS = {
    "away": Kind("the backplane is away", "the backplane is back", is_proven=True),
    "deaf": Kind("this node does not hear itself, it connects anew", "this node hears itself", logging.ERROR),
    "complaint": Kind("NATS refuses something", "NATS has refused nothing for a while"),
    "append_wait": Kind("messages cannot be stored now, and wait", "messages are stored at once", is_proven=True),
    "append": Kind("messages are given up, they were not stored", "messages are stored", is_proven=True),
    "order": Kind("orders to other nodes are not stored", "orders to other nodes are stored", is_proven=True),
    "record": Kind("records of sessions are not saved", "records of sessions are saved", is_proven=True),
    "record_read": Kind("records of sessions cannot be read", "records of sessions can be read", is_proven=True),
    "log_read": Kind("logs of rooms cannot be read", "logs of rooms can be read", is_proven=True),
    "log_renewed": Kind("logs of rooms were made anew, or have lost messages", "no more logs were made anew"),
    "log_gap": Kind("messages that were missed are no longer kept", "no more messages are missed in logs"),
    "undeliverable": Kind("messages of a log cannot be delivered here", "messages of logs can be delivered"),
    "room": Kind("rooms cannot be heard from other nodes", "no more rooms are cut off"),
    "unsent": Kind("live messages are not sent to other nodes", "live messages are sent to other nodes"),
    "missed": Kind("live messages of other nodes did not come", "live messages of other nodes come"),
    "late": Kind("live messages of other nodes come twice or late, and are dropped", "no more messages come late"),
    "overrun": Kind("messages come faster than they are taken", "messages are taken as fast as they come"),
    "malformed": Kind("what another node has sent cannot be read", "what other nodes send can be read"),
    "presence": Kind("other nodes are not told who is here, or do not tell", "other nodes are told who is here"),
    "internal": Kind("the cluster failed to do something", "the cluster does not fail any more", logging.ERROR),
}
"""All kinds, by the names that metrics have for them."""


class Troubles:
    """The states of one node. May be called from any thread.

    Args:
        clock: seconds of a clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, _State] = {}
        self._counts = dict.fromkeys(KINDS, 0)

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of trouble was noted."""
        with self._lock:
            return dict(self._counts)

    def note(self, kind: str, why: object, count: int = 1) -> None:
        """Something went wrong. The first of its kind is logged with its reason.

        Args:
            kind: one of `KINDS`.
            why: the reason; an exception is logged with its traceback if the kind is "internal".
            count: how many messages, or other things, it concerns.
        """
        now = self._clock()
        with self._lock:
            self._counts[kind] += count
            state = self._states.get(kind)
            if state is not None:
                state.last = now
                state.count += count
                state.has_succeeded = False
                return
            self._states[kind] = _State(now, count)
        error = why if kind == "internal" and isinstance(why, BaseException) else None
        logger.log(KINDS[kind].level, "%s: %s", KINDS[kind].begins, why, exc_info=error)

    def succeeded(self, kind: str) -> None:
        """What had failed has succeeded. The state ends when it stays so for a while."""
        # Without the lock, for it comes with each message that is stored: a state that begins now is not over.
        state = self._states.get(kind)
        if state is not None:
            state.has_succeeded = True

    def end(self, kind: str) -> None:
        """A state is over now, if it is on."""
        with self._lock:
            state = self._states.pop(kind, None)
        if state is not None:
            self._say_end(kind, state, self._clock())

    def look(self) -> None:
        """Ends the states that are over, and says of those that last how many there were. To be called each second."""
        now = self._clock()
        over, last = [], []
        with self._lock:
            for kind, state in list(self._states.items()):
                if now - state.last >= CALM and (state.has_succeeded or not KINDS[kind].is_proven):
                    over.append((kind, self._states.pop(kind)))
                elif now - state.said >= REMIND and state.count > state.said_count:
                    last.append((kind, state.count, now - state.begun))
                    state.said, state.said_count = now, state.count
        for kind, state in over:
            self._say_end(kind, state, state.last)
        for kind, count, seconds in last:
            logger.log(KINDS[kind].level, "%s: %d in %.1f s so far", KINDS[kind].begins, count, seconds)

    def close(self) -> None:
        """The node stops: says what has not ended."""
        now = self._clock()
        with self._lock:
            states, self._states = self._states, {}
        for kind, state in states.items():
            logger.warning(
                "%s, until the node stopped: %d in %.1f s", KINDS[kind].begins, state.count, now - state.begun
            )

    def _say_end(self, kind: str, state: _State, until: float) -> None:
        logger.warning("%s, after %.1f s: %d in all", KINDS[kind].ends, until - state.begun, state.count)


class _State:
    """A state that is on."""

    __slots__ = ("begun", "count", "has_succeeded", "last", "said", "said_count")

    def __init__(self, now: float, count: int) -> None:
        self.begun = self.last = self.said = now
        self.count = count
        self.said_count = 1
        self.has_succeeded = False


CALM = 5.0
"""Seconds without trouble until a state is over: longer than NATS needs to answer, or not to (2 s twice)."""

REMIND = 60.0
"""Seconds between lines about a state that lasts."""
