"""A server without sockets: all of the host that clients have to do with, over a fake engine, and clients to play.

What needs the network is not there: listeners, TLS, HTTP, metrics. What an application declares is as with a `Server`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, cast
from unittest import mock

from fanwire.application import Application
from fanwire.codes import CloseCode
from fanwire.config import Config
from fanwire.handlers.calls import ApplicationCalls
from fanwire.handshake.admission import Handshakes
from fanwire.handshake.newcomers import Newcomers
from fanwire.identity.authentication import Authenticate, Authentication
from fanwire.observability.health import Counters, Health
from fanwire.observability.limits import Limits
from fanwire.rooms.authorization import Authorize, Rights
from fanwire.rooms.node import Node
from fanwire.rooms.rules import RoomPolicy
from fanwire.runtime.events import EngineEvents
from fanwire.runtime.host import Host, make_host
from fanwire.runtime.registry import ConnectionRegistry
from fanwire.runtime.rejections import Rejections
from fanwire.sessions.store import MemoryStore, SessionStore
from fanwire.values.encoding import encode
from helpers.fake.engine import FakeEngine
from helpers.played import Client

QUIET_TURNS = 12
"""Turns of the loop in which nothing happens, until all that has nothing to wait for is done. A handler that awaits
takes one for each step."""


class Hosted(Application):
    """A host over a fake engine. To be made where a loop runs.

    Args:
        authenticate: as of `Server`; None: everybody is let in.
        authorize: the same.
        store: where records of sessions are kept.
        engine: makes the engine of its settings.
        config: fields of `Config`.

    Attributes:
        engine: the fake one.
        passed: the names of limits that were passed.
        errors: what has failed: handlers, and parts of the server.
        handshakes: takes requests, once `host` was used.
        events: takes the events of the engine, the same.
    """

    def __init__(
        self,
        authenticate: Authenticate | None = None,
        authorize: Authorize | None = None,
        store: SessionStore | None = None,
        engine: Callable[..., FakeEngine] = FakeEngine,
        **config: Any,
    ) -> None:
        super().__init__()
        self.config = Config(**config)
        self.engine = engine(**self._settings())
        self.passed: list[str] = []
        self.errors: list[str] = []
        health = Health(_Noted(self.errors))
        calls = ApplicationCalls(health)
        timeout = self.config.handshake_timeout
        self.authentication = Authentication(authenticate, timeout, self.config.token_grace, calls)
        self.node = Node(cast("Any", self.engine))
        limits = Limits(self.config, self.passed.append)
        self._parts = (limits, store or MemoryStore(1000), Rights(authorize, timeout, calls), health, calls)
        self.handshakes: Handshakes
        self.events: EngineEvents
        self._host: Host | None = None

    @property
    def host(self) -> Host:
        """It runs from its first use on."""
        return self._host or self.start()

    @property
    def registry(self) -> ConnectionRegistry:
        """The connections of the host."""
        return self.host.registry

    def start(self) -> Host:
        """Makes the parts that need the handlers: from now on it is too late for more of these."""
        limits, store, rights, health, calls = self._parts
        rejections = Rejections(lambda handler: None, health)
        self._host = host = make_host(
            self.node, limits, self._handlers, self._policies, store, rights, self.authentication, rejections, health,
            calls,
        )  # fmt: skip
        self.handshakes = Handshakes(host, self.authentication)
        newcomers = Newcomers(host.engine, self.handshakes, mock.Mock(), mock.Mock(), lambda: True)
        numbered, room_made = self.node.tickets.numbered, host.dispatcher.room_made
        self.events = EngineEvents(host.engine, host.registry, limits, health, newcomers.take, numbered, room_made)
        return host

    # What clients do.

    async def connect(self, path: str = "/", codec: str | None = "json", headers: str = "", **asked: Any) -> Client:
        """A client that asks to come in, see `ConnectionCalls.ask`. With a codec it has a session."""
        subprotocol = None if codec is None else f"fanwire.v1.{codec}"
        client = Client(self, self.engine.ask(path.encode(), subprotocol, headers.encode(), **asked), codec)
        await self.settle()
        client.welcome_in()
        return client

    async def resume(self, old: Client, received: int | None = None, codec: str | None = None, **asked: Any) -> Client:
        """A client that comes back; `received`: another count than its own."""
        count = old.received if received is None else received
        client = await self.connect(f"/?session={old.session}&received={count}", codec or old.codec, **asked)
        if client.welcome.get("resumed"):
            client.received = old.received
        return client

    # What the application does.

    def publish(self, room: str, data: Any, key: str | None = None, **options: Any) -> int | None:
        """See `Server.publish`."""
        payload, is_json = encode(data)
        return self.node.publish(room, payload, is_json, key, **options)

    async def settle(self) -> None:
        """Lets all happen that has nothing to wait for."""
        quiet = 0
        for _ in itertools.count():
            host = self.host
            self.events.take()
            await asyncio.sleep(0)
            quiet = 0 if self.engine.fair_queue or len(host.slices) else quiet + 1
            if quiet >= QUIET_TURNS:
                return

    async def end(self) -> None:
        """Ends the engine, and what runs."""
        self.engine.shutdown(0)
        self.registry.lifetimes.close()
        self.host.calls.cancel()

    # Inside.

    def _settings(self) -> dict[str, Any]:
        names = ("connection_bytes", "replay_bytes", "history_bytes", "max_rooms", "queue_items", "queue_bytes")
        settings = {name: getattr(self.config, name) for name in names}
        return {**settings, "max_nesting": self.config.max_nesting, "slow_code": int(CloseCode.SLOW_CONSUMER)}

    @property
    def _is_running(self) -> bool:
        return self._host is not None

    def _room_added(self, policy: RoomPolicy) -> None:
        self.engine.add_rule(
            policy.pattern, delivery=policy.delivery, max_keys=policy.max_keys, max_members=policy.max_members,
            history=policy.history, history_bytes=policy.history_bytes, history_age=policy.history_age,
            compress=policy.compress, priority=policy.priority, tick=policy.tick,
        )  # fmt: skip


class _Noted(Counters):
    def __init__(self, errors: list[str]) -> None:
        self._errors = errors

    def handler_error(self, handler: str) -> None:
        self._errors.append(handler)

    def internal_error(self, where: str) -> None:
        self._errors.append(where)
