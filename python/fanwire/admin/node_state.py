"""What an operator may ask about this node: its counts, its limits, its settings, and its health in words."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from fanwire.admin.documents import NodeConfig, NodeHealth, NodeSummary
from fanwire.admin.node_rooms import rule_of
from fanwire.config import Config
from fanwire.observability.health import Health
from fanwire.rooms.node import Node
from fanwire.rooms.rules import Policies

__all__ = ["NodeState", "ServerReadings"]


@dataclass(frozen=True)
class ServerReadings:
    """What a server tells its admin API about itself.

    Attributes:
        gauges: returns the gauges of the host, by the names of metrics.
        stats: returns the counters of the engine.
        transports: returns the number of links by transport.
        exceeded: returns how often each limit was exceeded.
        settings: returns the arguments of the server, without secrets.
    """

    gauges: Callable[[], Mapping[str, int]]
    stats: Callable[[], Mapping[str, Any]]
    transports: Callable[[], Mapping[str, int]]
    exceeded: Callable[[], Mapping[str, int]]
    settings: Callable[[], Mapping[str, Any]]


class NodeState:
    """Answers about the node as a whole.

    Args:
        node: the other nodes.
        name: of this node.
        config: the limits.
        policies: of the rooms.
        health: has what does not work.
        is_open: whether clients are let in.
        server: the server's own readings.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        config: Config,
        policies: Policies,
        health: Health,
        is_open: Callable[[], bool],
        server: ServerReadings,
    ) -> None:
        self._node = node
        self._name = name
        self._config = config
        self._policies = policies
        self._health = health
        self._is_open = is_open
        self._server = server
        self._begun = time.monotonic()

    def summary(self) -> NodeSummary:
        """Returns what the node is, and its counts."""
        uptime = round(time.monotonic() - self._begun, 3)
        stats = self._server.stats()
        return NodeSummary(
            node=self._name,
            version=VERSION,
            started=datetime.now(timezone.utc) - timedelta(seconds=uptime),
            uptime=uptime,
            pid=os.getpid(),
            ready=not self._reasons(),
            gauges=dict(self._server.gauges()),
            counters={name: value for name, value in stats.items() if isinstance(value, int)},
            drops=dict(stats.get("drops", {})),
            transports=dict(self._server.transports()),
        )

    def exceeded(self) -> dict[str, int]:
        """Returns how often each limit was exceeded, also those that never were."""
        known = dict.fromkeys((*HOST_LIMITS, *self._server.stats().get("limits", ())), 0)
        return {**known, **self._server.exceeded()}

    def config(self) -> NodeConfig:
        """Returns the settings, without secrets."""
        return NodeConfig(
            node=self._name,
            config=msgspec.to_builtins(self._config),
            server=dict(self._server.settings()),
            rooms=[rule_of(policy) for policy in self._policies],
        )

    def health(self) -> NodeHealth:
        """Returns whether the node is ready, why not, and what else does not work."""
        reasons = self._reasons()
        troubles = [f"{part} does not work: {why}" for part, why in self._health.troubles.items()]
        return NodeHealth(node=self._name, ready=not reasons, reasons=reasons, troubles=self._node.troubles + troubles)

    def _reasons(self) -> list[str]:
        reasons = [] if self._is_open() else ["the server is starting or shutting down, and accepts no clients"]
        if not self._node.is_ready:
            reasons += self._node.why_not_ready or ["this node does not hear the others"]
        return reasons + [f"{part} does not work: {why}" for part, why in self._health.faults.items()]


def _version() -> str:
    try:
        return version("fanwire")
    except PackageNotFoundError:
        # Run from its sources, without an installation.
        return "unknown"


HOST_LIMITS = (
    "engine_bytes", "http_body_timeout", "inbound_bytes", "max_address_http_connections", "max_http_connections",
    "max_parked", "max_rooms_per_connection", "max_user_connections", "room_name", "snapshot_timeout",
)  # fmt: skip
"""The limits that the host counts. The engine names its own."""

VERSION = _version()
"""The version of the package."""
