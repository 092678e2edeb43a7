"""Faults between nodes, as states: one log line when a state begins, one at INFO when it ends, and counts.

A state of a minute can concern thousands of messages. A line for each would hide everything else in the log, so the
lines give their number. `Faults.counts` has the totals, for metrics.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["KINDS", "FaultKind", "Faults"]

logger = logging.getLogger("fanwire.cluster")


class FaultKind(NamedTuple):
    """A kind of fault.

    Attributes:
        begins: the text of the log line when it begins, before the reason.
        ends: the text of the log line when it ends, before the seconds from the first fault to the end, and the count.
        level: the level of the first line, of the `logging` module.
        is_proven: whether it ends only after a success (`Faults.succeeded`). Otherwise it ends after `CALM` seconds
            without a fault.
        is_local: whether it may end while the backplane is away. Others would end only because nothing is tried.
    """

    begins: str
    ends: str
    level: int = logging.WARNING
    is_proven: bool = False
    is_local: bool = False


KINDS = {
    "away": FaultKind("the backplane is away", "the backplane is back", is_proven=True, is_local=True),
    "deaf": FaultKind("this node does not hear itself, it connects anew", "this node hears itself", logging.ERROR),
    "complaint": FaultKind("NATS refuses something", "NATS has refused nothing for a while"),
    "append_wait": FaultKind("messages cannot be stored now, and wait", "messages are stored at once", is_proven=True),
    "append": FaultKind("messages are given up, they were not stored", "messages are stored", is_proven=True),
    "revocation": FaultKind("revocations are not stored", "revocations are stored", is_proven=True),
    "record": FaultKind("records of sessions are not saved", "records of sessions are saved", is_proven=True),
    "record_read": FaultKind("records of sessions cannot be read", "records of sessions can be read", is_proven=True),
    "log_read": FaultKind("logs of rooms cannot be read", "logs of rooms can be read", is_proven=True),
    "log_renewed": FaultKind("logs of rooms were made anew, or have lost messages", "no more logs were made anew"),
    "log_gap": FaultKind("messages that were missed are no longer kept", "no more messages are missed in logs"),
    "undeliverable": FaultKind("messages of a log cannot be delivered here", "messages of logs can be delivered"),
    "room": FaultKind("rooms cannot be heard from other nodes", "no more rooms are cut off"),
    "unsent": FaultKind("live messages are not sent to other nodes", "live messages are sent to other nodes"),
    "missed": FaultKind("live messages of other nodes did not come", "live messages of other nodes come"),
    "late": FaultKind("live messages of other nodes come twice or late, and are dropped", "no more messages come late"),
    "overrun": FaultKind("messages come faster than they are taken", "messages are taken as fast as they come"),
    "malformed": FaultKind("what another node has sent cannot be read", "what other nodes send can be read"),
    "presence": FaultKind("other nodes are not told who is here, or do not tell", "other nodes are told who is here"),
    "forwarding": FaultKind(
        "requests of links are not answered by other nodes", "other nodes answer requests of links"
    ),
    "question": FaultKind("questions of operators are not answered by other nodes", "other nodes answer operators"),
    "internal": FaultKind(
        "the cluster failed to do something", "the cluster does not fail any more", logging.ERROR, is_local=True
    ),
}
"""All kinds, by the values of the label `kind` in metrics."""


class Faults:
    """Counts and logs the faults of one node. May be used from any thread.

    Args:
        clock: returns seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, _FaultState] = {}
        self._counts = dict.fromkeys(KINDS, 0)
        # When the backplane came back.
        self._back = -math.inf

    @property
    def counts(self) -> dict[str, int]:
        """How many faults of each kind there were."""
        with self._lock:
            return dict(self._counts)

    def note(self, kind: str, why: object, count: int = 1) -> None:
        """Counts a fault. The first of a state is logged with its reason.

        Args:
            kind: one of `KINDS`.
            why: the reason. An exception is logged with its traceback if the kind is "internal".
            count: the number of messages, or other things, that it concerns.
        """
        now = self._clock()
        with self._lock:
            self._counts[kind] += count
            state = self._states.get(kind)
            if state is not None:
                state.last = now
                state.count += count
                state.succeeded = None
                return
            self._states[kind] = _FaultState(now, count)
        error = why if kind == "internal" and isinstance(why, BaseException) else None
        logger.log(KINDS[kind].level, "%s: %s", KINDS[kind].begins, why, exc_info=error)

    def succeeded(self, kind: str) -> None:
        """Notes that what had failed has succeeded. The state ends `CALM` seconds after the last fault."""
        # Without the lock: this is called for each message that is stored.
        state = self._states.get(kind)
        if state is not None and state.succeeded is None:
            state.succeeded = self._clock()

    def end(self, kind: str) -> None:
        """Ends a state now, if it is on."""
        with self._lock:
            state = self._states.pop(kind, None)
            if kind == "away":
                self._back = self._clock()
        if state is not None:
            self._say_end(kind, state, self._clock())

    def look(self) -> None:
        """Ends the states that are over, and logs the counts of those that last. To be called once a second. While the
        backplane is away, and until `CALM` seconds after its return, only states of this node alone end.
        """
        now = self._clock()
        over, last = [], []
        with self._lock:
            for kind, state in list(self._states.items()):
                is_proven, is_local = KINDS[kind].is_proven, KINDS[kind].is_local
                calm_since = state.last if is_local else max(state.last, self._back)
                is_calm = now - calm_since >= CALM and (is_local or "away" not in self._states)
                if is_calm and (state.succeeded is not None or not is_proven):
                    # Calm is known only now, a success since it came.
                    over.append((kind, self._states.pop(kind), (is_proven and state.succeeded) or now))
                elif now - state.said >= REMIND and state.count > state.said_count:
                    last.append((kind, state.count, now - state.begun))
                    state.said, state.said_count = now, state.count
        for kind, state, until in over:
            self._say_end(kind, state, until)
        for kind, count, seconds in last:
            logger.log(KINDS[kind].level, "%s: %d in %.1f s so far", KINDS[kind].begins, count, seconds)

    def close(self) -> None:
        """Logs the states that last until the node stops."""
        now = self._clock()
        with self._lock:
            states, self._states = self._states, {}
        for kind, state in states.items():
            logger.warning(
                "%s, until the node stopped: %d in %.1f s", KINDS[kind].begins, state.count, now - state.begun
            )

    def _say_end(self, kind: str, state: _FaultState, until: float) -> None:
        logger.info("%s, after %.1f s: %d in all", KINDS[kind].ends, until - state.begun, state.count)


class _FaultState:
    """A state that is on."""

    __slots__ = ("begun", "count", "last", "said", "said_count", "succeeded")

    def __init__(self, now: float, count: int) -> None:
        self.begun = self.last = self.said = now
        self.count = count
        self.said_count = 1
        # When it has succeeded for the first time since the last fault.
        self.succeeded: float | None = None


CALM = 5.0
"""Seconds without a fault until a state is over: longer than two timeouts of a request to NATS (2 s each)."""

REMIND = 60.0
"""Seconds between log lines about a state that lasts."""
