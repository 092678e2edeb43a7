"""Builds the parts of a server at its start: the engine, the other nodes, the host, the handshake and HTTP."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass

from fanwire._engine import Engine
from fanwire.backplane.base import Backplane
from fanwire.cluster import Cluster
from fanwire.cluster.faults import Faults
from fanwire.codes import CloseCode
from fanwire.config import Config
from fanwire.handlers.calls import ApplicationCalls
from fanwire.handshake.admission import Handshakes
from fanwire.handshake.newcomers import Newcomers
from fanwire.handshake.tls import Tls
from fanwire.http.server import HttpSide
from fanwire.identity.authentication import Authentication
from fanwire.listening.listeners import Listeners
from fanwire.metrics import Metrics
from fanwire.observability.health import Health
from fanwire.observability.limits import Limits
from fanwire.rooms.authorization import Rights
from fanwire.rooms.node import Node
from fanwire.rooms.rules import Policies, RoomPolicy
from fanwire.runtime.application_handlers import Handlers
from fanwire.runtime.cluster_host import ClusterHost
from fanwire.runtime.draining import Draining
from fanwire.runtime.events import EngineEvents
from fanwire.runtime.host import Host, make_host
from fanwire.runtime.rejections import Rejections
from fanwire.sessions.store import SessionStore
from fanwire.timing.deadline import Deadline, bounded

__all__ = ["Assembly", "Parts", "add_rule"]


@dataclass(frozen=True)
class Parts:
    """The parts of a running server, as the lifecycle uses them.

    Attributes:
        engine: the engine.
        node: the other nodes.
        host: serves connections.
        cluster_host: does what other nodes ask for.
        events: the events of the engine.
        draining: closes the connections at the stop.
        newcomers: clients that are not accepted yet.
        listeners: the sockets at which the server listens.
    """

    engine: Engine
    node: Node
    host: Host
    cluster_host: ClusterHost
    events: EngineEvents
    draining: Draining
    newcomers: Newcomers
    listeners: Listeners


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
        ssl: the TLS context; None: no TLS.
        proxy_protocol: whether connections begin with a header of the PROXY protocol.
        hosts: allowed values of `Host`; None: all.
        origins: allowed values of `Origin`; None: all.
        proxies: networks of trusted proxies.
        prefix: of the paths.
        http: serves HTTP.
        metrics: counts.
        health: logs and counts errors.
        calls: runs awaitables of the application.
        is_ready: whether new clients are accepted.
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
    ssl: ssl_module.SSLContext | None
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

    async def build(self, stack: AsyncExitStack) -> Parts:
        """Builds the parts. They hear the engine and the other nodes, and no client yet.

        Args:
            stack: gets what undoes the start, if it fails.

        Raises:
            Unavailable: the backplane cannot be reached.
        """
        config, health = self.config, self.health
        engine = self._engine()
        stack.callback(engine.shutdown, 1.0)
        for policy in self.policies:
            add_rule(engine, policy)
        node = Node(engine)
        if self.backplane is not None:
            node = Cluster(engine, self.backplane, self.policies, config, self.faults)
        limits = Limits(config, lambda limit: self.metrics.limit_exceeded(limit).inc())
        rejections = Rejections(lambda handler: self.metrics.rejected(handler).inc(), health)
        host = make_host(
            node, limits, self.handlers, self.policies, self.store, self.rights, self.authentication, rejections,
            health, self.calls,
        )  # fmt: skip
        tls = Tls(engine, self.ssl, config.handshake_timeout, host.tasks.spawn)
        handshakes = Handshakes(host, self.authentication, tls)
        newcomers = Newcomers(engine, handshakes, tls, self.http, self.metrics, self.is_ready)
        events = EngineEvents(engine, host.registry, limits, health, newcomers.take)
        draining = Draining(host.registry, events, host.messages, host.tasks, self.calls, config.drain_spread, health)
        stack.push_async_callback(self._undo, node.stop, "the backplane")
        cluster_host = ClusterHost(engine, host.registry, health)
        await node.start(cluster_host)
        events.start()
        stack.callback(host.registry.lifetimes.close)
        stack.callback(events.stop)
        stack.callback(self.listeners.close)
        stack.push_async_callback(self._undo, lambda _: self.http.stop(Deadline(UNDO)), "HTTP")
        return Parts(engine, node, host, cluster_host, events, draining, newcomers, self.listeners)

    async def open(self, parts: Parts) -> None:
        """Starts the application, which may publish already, and then listens.

        Raises:
            OSError: the address is in use or may not be used.
            Exception: the application's own, from its start.
        """
        await self.http.start()
        for sock in await self.listeners.bind(self.config.backlog):
            parts.engine.listen(sock.fileno(), tls=self.ssl is not None, proxy_protocol=self.proxy_protocol)
        parts.newcomers.open()

    def _engine(self) -> Engine:
        config = self.config
        return Engine(
            shards=config.shard_count,
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
            max_connections=config.max_connections,
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


def add_rule(engine: Engine, policy: RoomPolicy) -> None:
    """Gives the engine the settings of a pattern of rooms."""
    engine.add_rule(
        policy.pattern,
        delivery=policy.delivery,
        max_keys=policy.max_keys,
        max_members=policy.max_members,
        history=policy.history,
        history_bytes=policy.history_bytes,
        history_age=policy.history_age,
    )


UNDO = 1.0
"""Seconds for each part of a server to stop whose start has failed."""
