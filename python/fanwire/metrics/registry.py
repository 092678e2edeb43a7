"""The registry of one server: its counters, and the collectors of the engine and the host."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry

from fanwire.metrics.counts import Counts, LabelledCount
from fanwire.metrics.durations import Durations
from fanwire.metrics.engine import EngineCounts, EngineMetrics
from fanwire.metrics.host import HostMetrics
from fanwire.observability.health import Counters
from fanwire.protocol.table import CloseCode

__all__ = ["Metrics"]


class Metrics(Counters):
    """The metrics of one server, in a registry of their own, since a process may run several servers.

    Args:
        stats: returns the result of `Server.stats`; empty while the server is not running.
        gauges: returns the gauges of the host, by name.
        faults: returns the number of faults between nodes, by kind.
        links: returns the number of links by transport and codec.
        expiries: returns when each certificate of TLS expires, by its file.
        limits: returns limits of the configuration, by the name of the field.

    Attributes:
        registry: the registry, for an exposition of the application.
        limit_exceeded: returns the counter `fanwire_limit_exceeded_total` of a limit, a field of `Config`.
        rejected: returns the counter `fanwire_rejected_total` of a handler, by its name or the type of its messages.
        handlers: the durations of the application's handlers, by their qualified names.
        authentications: the durations of `authenticate`, by "accepted", "refused" or "failed".
        lateness: how late the event loop runs its timers.
        appends: from publishing to the backplane's answer, by "stored" or "failed".
    """

    def __init__(
        self,
        stats: Callable[[], dict[str, Any]],
        gauges: Callable[[], dict[str, int]],
        faults: Callable[[], dict[str, int]] = dict,
        links: Callable[[], dict[tuple[str, str], int]] = dict,
        expiries: Callable[[], dict[str, int]] = dict,
        limits: Callable[[], dict[str, int]] = dict,
    ) -> None:
        self.registry = CollectorRegistry()
        # Collected first, so that the counters below include the engine's counts.
        self._engine_counts = EngineCounts(stats)
        self.registry.register(self._engine_counts)
        limit_exceeded = self._counts(
            "fanwire_limit_exceeded", "How often a limit was exceeded, enforced or not (dry_run).", "limit"
        )
        handshakes = self._counts("fanwire_handshakes", "Upgrade requests, by the status of the answer.", "status")
        text = "TLS handshakes: full, resumed by a ticket, or failed."
        tls_handshakes = self._counts("fanwire_tls_handshakes", text, "result")
        rejected = self._counts("fanwire_rejected", "Rejections that handlers have raised (Reject).", "handler")
        self._limit_exceeded = limit_exceeded
        self.limit_exceeded: Callable[[str], LabelledCount] = limit_exceeded.labels
        self.rejected: Callable[[str], LabelledCount] = rejected.labels
        text = "Errors that functions of the application have raised, by the qualified name of the function."
        self._handler_errors = self._counts("fanwire_handler_errors", text, "handler")
        text = "Errors of the server itself, by the part in which they were raised."
        self._internal_errors = self._counts("fanwire_internal_errors", text, "part")
        text = "Lines that the log left out: peers caused too many of their kind, or its target did not take them."
        self._suppressed_lines = self._counts("fanwire_suppressed_log_lines", text, "level")
        text = "Connections that have ended, by close code (1006: no close frame) and side: client, server or network."
        self._closed_connections = self._counts("fanwire_closed_connections", text, "code", "side")
        text = "Requests to resume a session, by outcome: resumed, or the reason why not."
        self._resumes = self._counts("fanwire_resumes", text, "outcome")
        self._engine_counts.add("limits", limit_exceeded)
        self._engine_counts.add("handshakes", handshakes)
        self._engine_counts.add("tls_handshakes", tls_handshakes)
        self.registry.register(HostMetrics(gauges, faults, links, expiries, limits))
        self.registry.register(EngineMetrics(stats))
        text = (
            "The time that handlers of the application take, with what they await, by their qualified names. "
            "Of messages of clients without a session, the first one of each batch is measured."
        )
        self.handlers = self._durations("fanwire_handler_duration_seconds", text, "handler")
        text = "The time that `authenticate` takes, with what it awaits, by its result: accepted, refused or failed."
        self.authentications = self._durations("fanwire_authentication_duration_seconds", text, "result")
        text = "How late the event loop runs its timers, looked at ten times a second."
        self.lateness = self._durations("fanwire_loop_lateness_seconds", text)
        text = "From publishing to the answer of the backplane that stores the message, by result: stored or failed."
        self.appends = self._durations("fanwire_append_duration_seconds", text, "result")

    def _counts(self, name: str, text: str, *labels: str) -> Counts:
        made = Counts(name, text, [*labels])
        self.registry.register(made)
        return made

    def _durations(self, name: str, text: str, label: str | None = None) -> Durations:
        made = Durations(name, text, label)
        self.registry.register(made)
        return made

    def exceeded(self) -> dict[str, int]:
        """How often each limit was exceeded, by its name."""
        # Brings the engine's counts into the counter.
        self._engine_counts.collect()
        samples = next(iter(self._limit_exceeded.collect())).samples
        return {one.labels["limit"]: int(one.value) for one in samples if one.name.endswith("_total")}

    def settle(self) -> None:
        """Keeps what the engine has counted since the last scrape. Called before the engine ends, because another one
        starts at 0."""
        self._engine_counts.settle()

    def handler_error(self, handler: str) -> None:
        """Counts an exception of a function of the application."""
        self._handler_errors.labels(handler).inc()

    def internal_error(self, where: str) -> None:
        """Counts an exception of the server itself."""
        self._internal_errors.labels(where).inc()

    def connection_closed(self, code: int, side: str) -> None:
        """Counts a connection that has ended. Codes that only clients know are counted as "other": a client may send
        any of 2,000."""
        is_known = side != "client" or code in KNOWN_CODES
        self._closed_connections.labels(str(code) if is_known else "other", side).inc()

    def session_resumed(self, outcome: str) -> None:
        """Counts a request to resume a session."""
        self._resumes.labels(outcome).inc()

    def line_suppressed(self, level: int, count: int = 1) -> None:
        """Counts lines that are missing in the log. Thread-safe."""
        self._suppressed_lines.labels(logging.getLevelName(level).lower()).inc(count)


KNOWN_CODES = frozenset({*map(int, CloseCode), *range(1000, 1016)})
"""The close codes of clients that are counted by their number: those of RFC 6455, IANA and Fanwire."""
