"""Builds the parts of a server at its start: the engine, the other nodes, the host, the handshake and HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from fanwire._engine import Engine
from fanwire.admin.live_readings import LiveReadings
from fanwire.admin.node_state import ServerReadings
from fanwire.admin.this_node import ThisNode
from fanwire.backplane.base import Backplane
from fanwire.cluster import Cluster
from fanwire.cluster.faults import Faults
from fanwire.cluster.history_pages import HistoryPages
from fanwire.codes import CloseCode
from fanwire.config import Config
from fanwire.handlers.calls import ApplicationCalls
from fanwire.handshake.admission import Handshakes
from fanwire.handshake.newcomers import Newcomers
from fanwire.http.server import HttpSide
from fanwire.identity.authentication import Authentication
from fanwire.listening.listeners import Listeners
from fanwire.metrics import Metrics
from fanwire.observability.health import Health
from fanwire.observability.limits import Limits
from fanwire.process.open_files import allowed_connections
from fanwire.process.shard_cores import crowded, missing
from fanwire.recording.recorder import Recordings
from fanwire.rooms.authorization import Rights
from fanwire.rooms.node import Node
from fanwire.rooms.readings_room import READINGS_POLICY
from fanwire.rooms.rules import Policies, RoomPolicy
from fanwire.runtime.application_handlers import Handlers
from fanwire.runtime.cluster_host import ClusterHost
from fanwire.runtime.draining import Draining
from fanwire.runtime.events import EngineEvents
from fanwire.runtime.host import Host, make_host
from fanwire.runtime.input_echoes import InputEchoes
from fanwire.runtime.rejections import Rejections
from fanwire.runtime.tick_loop import TickLoops
from fanwire.runtime.timed_handlers import timed
from fanwire.sessions.store import SessionStore
from fanwire.timing.deadline import Deadline, bounded
from fanwire.timing.lateness import Lateness
from fanwire.tls.certificates import Certificates
from fanwire.tls.settings import TLS
from fanwire.transports.gate import LinkGate
from fanwire.values.processors import processors, usable_cores

__all__ = ["Assembly", "Parts", "Tracing", "add_rule"]


class Tracing(Protocol):
    """Traces messages; see `fanwire.tracing`, which alone needs OpenTelemetry."""

    def begin(self, node: Node) -> None:
        """Traces what a node publishes."""

    def end(self) -> None:
        """Ends: the server stops."""


@dataclass(frozen=True)
class Parts:
    """The parts of a running server, as the lifecycle uses them.

    Attributes:
        engine: the engine.
        max_connections: the most connections that it takes; 0: no limit.
        node: the other nodes.
        host: serves connections.
        cluster_host: does what other nodes ask for.
        events: the events of the engine.
        ticks: calls the application at steady times.
        draining: closes the connections at the stop.
        newcomers: clients that are not accepted yet.
        listeners: the sockets at which the server listens.
        certificates: those of TLS; None: the server speaks none.
        this_node: answers questions of operators.
        live: the readings for operators; None: there are no operators.
        lateness: measures how late the event loop is.
        tracing: traces messages; None: nothing does.
        recordings: record what is published.
    """

    engine: Engine
    max_connections: int
    node: Node
    host: Host
    cluster_host: ClusterHost
    events: EngineEvents
    ticks: TickLoops
    draining: Draining
    newcomers: Newcomers
    listeners: Listeners
    certificates: Certificates | None
    this_node: ThisNode
    live: LiveReadings | None
    lateness: Lateness
    tracing: Tracing | None
    recordings: Recordings


@dataclass(frozen=True)
class Assembly:
    """What a server is built from. It is used for one start.

    Attributes:
        config: the configuration.
        handlers: the application's.
        policies: of the rooms.
        store: keeps the records of sessions.
        rights: decides what a client may do.
        authentication: decides who a client is.
        backplane: the way to other nodes; None: this node is alone.
        faults: counts faults of the backplane.
        listeners: where the server listens.
        tls: the certificates and rules of TLS; None: no TLS.
        proxy_protocol: whether connections begin with a header of the PROXY protocol.
        hosts: allowed values of `Host`; None: all.
        origins: allowed values of `Origin`; None: all.
        proxies: networks of trusted proxies.
        prefix: of the paths.
        http: serves HTTP.
        metrics: counts.
        health: logs and counts errors.
        calls: runs awaitables of the application.
        is_ready: whether the server is ready for new clients.
        gauges: the gauges of the host, for operators; None: there are no operators.
        readings: what the server tells operators about itself.
        tracing: traces messages; None: nothing does.
        recordings: record what is published.
    """

    config: Config
    handlers: Handlers
    policies: Policies
    store: SessionStore
    rights: Rights
    authentication: Authentication
    backplane: Backplane | None
    faults: Faults
    listeners: Listeners
    tls: TLS | None
    proxy_protocol: bool
    hosts: Collection[str] | None
    origins: Collection[str] | None
    proxies: Collection[str]
    prefix: str
    http: HttpSide
    metrics: Metrics
    health: Health
    calls: ApplicationCalls
    is_ready: Callable[[], bool]
    readings: ServerReadings
    tracing: Tracing | None
    recordings: Recordings
    gauges: Callable[[], Mapping[str, int]] | None = None

    def check(self) -> None:
        """Refuses what the start would refuse, as far as that is known before anything is started. `build` begins with
        it. The files of TLS are checked by `check_certificates`.

        Raises:
            OSError: a recording cannot be written to its directory.
            ValueError: this process may not use a processor of `Config.shard_cores`, or a rule of rooms cannot be used
                with the backplane.
        """
        if fault := missing(self.config, usable_cores()):
            raise ValueError(fault)
        if self.backplane is not None:
            for policy in self.policies:
                policy.check_shared()
        self.recordings.check()

    async def build(self, stack: AsyncExitStack) -> Parts:
        """Builds the parts. They hear the engine and the other nodes, and no client yet.

        Args:
            stack: gets what undoes the start, if it fails.

        Raises:
            Unavailable: the backplane cannot be reached.
            OSError, ValueError: as `check`, or a file of TLS cannot be read or used.
        """
        config, health = self.config, self.health
        self.check()
        max_connections = allowed_connections(config, health.warning, has_tls=self.tls is not None)
        engine = self._engine(max_connections)
        stack.callback(engine.shutdown, 1.0)
        certificates = None if self.tls is None else Certificates(engine, self.tls, health)
        if certificates is not None:
            await asyncio.get_running_loop().run_in_executor(None, certificates.load)
        if self.gauges is not None:
            self.policies.reserve(READINGS_POLICY)
            add_rule(engine, READINGS_POLICY, config)
        for policy in self.policies:
            add_rule(engine, policy, config)
        node = Node(engine)
        if self.backplane is not None:
            node = Cluster(engine, self.backplane, self.policies, config, self.faults, self.metrics.appends.add)
        stack.callback(self.recordings.end)
        self.recordings.begin(engine, node.tag)
        if self.tracing is not None:
            self.tracing.begin(node)
            stack.callback(self.tracing.end)
        limits = Limits(config, lambda limit: self.metrics.limit_exceeded(limit).inc())
        handlers = timed(self.handlers, self.metrics.handlers.add)
        rejections = Rejections(lambda handler: self.metrics.rejected(handler).inc(), health)
        host = make_host(
            node, limits, handlers, self.policies, self.store, self.rights, self.authentication, rejections, health,
            self.calls,
        )  # fmt: skip
        pages = HistoryPages(node, self.rights, host.slices, host.messages.tell, host.dispatcher.room_of)
        host.dispatcher.serve("history", pages.history)
        handshakes = Handshakes(host, self.authentication)
        newcomers = Newcomers(engine, handshakes, self.http, self.metrics, self.is_ready)
        numbered, room_made = node.tickets.numbered, host.dispatcher.room_made
        events = EngineEvents(engine, host.registry, limits, health, newcomers.take, numbered, room_made)
        echoes = InputEchoes(engine, host.messages, handlers.inputs)
        ticks = TickLoops(engine, events, handlers.ticks, self.calls, health, echoes)
        draining = Draining(host.registry, events, host.messages, host.tasks, self.calls, config.drain_spread, health)
        stack.push_async_callback(self._undo, node.stop, "the backplane")
        this_node = ThisNode(host, self.policies, health, lambda: newcomers.is_open, self.readings)
        cluster_host = ClusterHost(
            engine, host.registry, host.fallbacks, health, self.http.publish_batch, this_node.answer_packed
        )
        await node.start(cluster_host)
        events.start()
        live = None
        if self.gauges is not None:
            live = LiveReadings(engine, node, host.registry, events, health, self.gauges, this_node.health)
            live.begin()
            stack.callback(live.cancel)
        lateness = Lateness(asyncio.get_running_loop(), self.metrics.lateness.add)
        lateness.begin()
        stack.callback(lateness.end)
        stack.callback(host.registry.lifetimes.close)
        stack.callback(host.fallbacks.close)
        stack.callback(events.stop)
        stack.callback(self.listeners.close)
        stack.push_async_callback(self._undo, lambda _: self.http.stop(Deadline(UNDO)), "HTTP")
        return Parts(
            engine, max_connections, node, host, cluster_host, events, ticks, draining, newcomers, self.listeners,
            certificates, this_node, live, lateness, self.tracing, self.recordings,
        )  # fmt: skip

    async def open(self, parts: Parts) -> None:
        """Starts the application, which may publish already, and then listens.

        Raises:
            OSError: the address is in use or may not be used.
            Exception: the application's own, from its start.
        """
        await self.http.start(LinkGate(parts.host.fallbacks, parts.node.forward))
        for sock in await self.listeners.bind(self.config.backlog):
            parts.engine.listen(sock.fileno(), tls=self.tls is not None, proxy_protocol=self.proxy_protocol)
        parts.newcomers.open()
        if parts.certificates is not None:
            parts.certificates.begin()
        parts.ticks.begin()

    def _engine(self, max_connections: int) -> Engine:
        config = self.config
        if fault := crowded(config, processors()):
            self.health.warning("%s; lower limits.shards, or set limits.shard_spin = 0", fault)
        return Engine(
            shards=config.shard_count,
            shard_spin=config.shard_spin,
            shard_cores=config.cores,
            connection_bytes=config.connection_bytes,
            replay_bytes=config.replay_bytes,
            engine_bytes=config.engine_bytes,
            history_bytes=config.history_bytes,
            max_rooms=config.max_rooms,
            queue_items=config.queue_items,
            queue_bytes=config.queue_bytes,
            unsent_bytes=config.unsent_bytes,
            write_timeout=config.write_timeout,
            ping_interval=config.ping_interval,
            ping_timeout=config.ping_timeout,
            close_timeout=config.close_timeout,
            min_rate=config.min_rate,
            max_nesting=config.max_nesting,
            slow_code=CloseCode.SLOW_CONSUMER,
            max_message=config.max_message,
            max_fragments=config.max_fragments,
            message_timeout=config.message_timeout,
            inbox_messages=config.inbox_messages,
            inbox_bytes=config.inbox_bytes,
            inbound_bytes=config.inbound_bytes,
            message_rate=config.message_rate,
            message_burst=config.message_burst,
            byte_rate=config.byte_rate,
            byte_burst=config.byte_burst,
            ping_rate=config.ping_rate,
            ping_burst=config.ping_burst,
            max_refused=config.max_refused,
            dry_run=config.dry_run,
            max_head=config.max_head,
            handshake_timeout=config.handshake_timeout,
            max_connections=max_connections,
            handshake_rate=config.handshake_rate,
            handshake_burst=config.handshake_burst,
            max_address_connections=config.max_address_connections,
            address_handshake_rate=config.address_handshake_rate,
            address_handshake_burst=config.address_handshake_burst,
            hosts=None if self.hosts is None else list(self.hosts),
            origins=None if self.origins is None else list(self.origins),
            trusted_proxies=list(self.proxies),
            prefix=self.prefix,
            mount=self.http.mount,
        )

    async def _undo(self, stop: Callable[[float], Awaitable[None]], what: str) -> None:
        """Stops one part of a server whose start has failed."""

        def failed(error: BaseException | None) -> None:
            self.health.warning("the start has failed, and %s does not stop: %r", what, error)

        await bounded(stop(0), UNDO + 0.5, failed)


def add_rule(engine: Engine, policy: RoomPolicy, config: Config) -> None:
    """Gives the engine the settings of a pattern of rooms. The first one that compresses switches compression on."""
    if policy.compress:
        engine.set_compression(config.compression_level, config.compression_min_bytes)
    engine.add_rule(
        policy.pattern,
        delivery=policy.delivery,
        max_keys=policy.max_keys,
        max_members=policy.max_members,
        history=policy.history,
        history_bytes=policy.history_bytes,
        history_age=policy.history_age,
        compress=policy.compress,
        priority=policy.priority,
        tick=policy.tick,
        interest=policy.interest,
        delta=policy.delta,
    )


UNDO = 1.0
"""Seconds for each part of a server to stop whose start has failed."""
