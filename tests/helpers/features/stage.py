"""The servers of a module, and the stage of one scenario."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import fanwire
from fanwire.backplane.embedded import EmbeddedServer
from fanwire.backplane.nats import NATS
from fanwire.state import ConnectionState
from fanwire.testing.tcp_proxy import TcpProxy
from helpers.features import node_port
from helpers.features.cases import CUT, RENEW, STEADY, Case
from helpers.features.node_port import NodePort, NodeProcess
from helpers.features.ports import ClientPort, RoomPort, eventually
from helpers.features.python_port import PythonPort
from helpers.serving import Book
from helpers.wait import DEADLINE, until, until_sync

CONFIG = {"message_rate": 0, "byte_rate": 0, "grace": 60.0}
AGAIN = 4100
"""A close code of applications after which clients come back."""


class World:
    """The servers of a module: each is started when a scenario first needs it, and shared.

    Args:
        declare: declares rooms and handlers at a server that is not started yet.
        options: more arguments of each server; `config` is a map of settings.
        folder: for NATS.
    """

    def __init__(self, declare: Callable[[fanwire.Server], object], options: dict[str, Any], folder: Path) -> None:
        self._declare = declare
        self._options = options
        self._folder = folder
        self._servers: dict[str, Book] = {}
        self._stack = contextlib.AsyncExitStack()
        self._nats: EmbeddedServer | None = None
        self._node: NodeProcess | None = None
        self.numbers = itertools.count(1)

    async def server(self, name: str) -> Book:
        """The server "alone", or one of the nodes "a" and "b"."""
        if name not in self._servers:
            more = dict(self._options)
            config = {**CONFIG, **more.pop("config", {})}
            if name != "alone":
                more["backplane"] = NATS(await self._nats_url())
            made = Book(config, **more)
            self._declare(made)
            await made.start()
            self._stack.push_async_callback(made.stop)
            self._servers[name] = made
            if len(self._servers.keys() & {"a", "b"}) == 2:
                both = [self._servers[name] for name in ("a", "b")]
                await until(lambda: all(one._running.node.gauges["nodes"] == 2 for one in both), "the nodes meet")
        return self._servers[name]

    async def node_process(self) -> NodeProcess:
        """The process of Node.js."""
        if self._node is None:
            self._node = await NodeProcess.start()
            self._stack.push_async_callback(self._node.stop)
        return self._node

    async def end(self) -> None:
        """Ends all of it."""
        await self._stack.aclose()

    async def _nats_url(self) -> str:
        if self._nats is None:
            self._nats = EmbeddedServer(self._folder)
            await self._nats.start()
            self._stack.push_async_callback(self._nats.stop)
        return self._nats.url


class Stage:
    """One scenario over one combination.

    Attributes:
        case: the combination.
        publisher: the server at which the scenario publishes.
        home: the server at which the reader is: the same one, or another node.
        client: the reader.
    """

    client: ClientPort

    def __init__(self, world: World, case: Case, publisher: Book, home: Book, proxy: TcpProxy) -> None:
        self.case = case
        self.publisher = publisher
        self.home = home
        self._world = world
        self._proxy = proxy
        self._number = next(world.numbers)
        self._clients: list[ClientPort] = []
        self._session = ""
        self._was_away = False

    def room(self, kind: str) -> str:
        """The name of a room of this scenario alone: "quotes" becomes "quotes.17", which the rule "quotes.*" is for."""
        return f"{kind}.{self._number}"

    async def join(self, kind: str, **options: Any) -> RoomPort:
        """The reader joins `room(kind)`."""
        return await self.client.join(self.room(kind), **options)

    def publish(self, kind: str, data: Any, **options: Any) -> int | None:
        """The publisher's server publishes to `room(kind)`, see `Server.publish`."""
        return self.publisher.publish(self.room(kind), data, **options)

    async def connect(self, server: Book | None = None, *, port: int = 0, **options: Any) -> ClientPort:
        """Another client of the same kind, at the publisher's server by default, whose link is never cut."""
        at = port or port_of(server or self.publisher)
        client = await self._make(f"ws://127.0.0.1:{at}/", options)
        self._clients.append(client)
        return client

    @contextlib.asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """What is done within happens while the reader has no link: it was cut, and the session resumes afterwards
        (CUT), or it ended, and the client begins another one (RENEW), which it has afterwards. With STEADY nothing
        happens."""
        if self.case.link == STEADY:
            yield
            return
        self._was_away = True
        before = await self.client.get("session")
        connection = self._connection(before)
        # Those who come now wait, and get through afterwards.
        for line in (self._proxy.up, self._proxy.down):
            line.faults = dataclasses.replace(line.faults, held=True)
        if self.case.link == CUT:
            await until(lambda: self._proxy.links, "there is a link to be cut")
            self._proxy.cut()
            if self.case.transport != "long-poll":
                # A link of polls does not end with a connection.
                await until(lambda: connection.state is ConnectionState.RECONNECTING, "the session waits")
        else:
            connection.close(AGAIN, "begin anew")
        try:
            yield
        finally:
            for line in (self._proxy.up, self._proxy.down):
                line.change(held=False)
        if self.case.link == RENEW:
            # A client that has not noticed yet would send to the session that ends.
            await eventually(lambda: self.client.get("session"), lambda session: session not in (None, before))

    async def until_waiting(self, count: int) -> None:
        """Waits until so many messages wait for the reader, which has no link."""
        connection = self._connection(self._session)
        engine = self.home._running.engine

        def waiting() -> int:
            # Asked behind all that was queued for it before.
            reading = engine.connection_reading(connection.id, DEADLINE)
            return reading["waiting_messages"] if reading else 0

        await asyncio.to_thread(until_sync, lambda: waiting() == count, f"{count} messages wait")

    async def begin(self, **options: Any) -> None:
        """Connects the reader."""
        if hasattr(self, "client"):
            await self.client.close()
        self.client = await self._make(f"ws://127.0.0.1:{self._proxy.port}/", options)
        self._session = await self.client.get("session")

    async def end(self, *, has_passed: bool) -> None:
        """Ends the clients. The session is as the case says."""
        session = await self.client.get("session")
        for client in [self.client, *self._clients]:
            await client.close()
        if has_passed and self._was_away:
            assert (session == self._session) == (self.case.link != RENEW), "the session was resumed, or not"

    def _connection(self, session: str) -> fanwire.Connection:
        connection = self.home._running.host.registry.sessions.find(session)
        assert connection is not None, "the reader is not connected"
        return connection

    async def _make(self, url: str, options: dict[str, Any]) -> ClientPort:
        case = self.case
        if case.client == "python":
            return await PythonPort.connect(url, case.transport, case.codec, **options)
        return await NodePort.connect(await self._world.node_process(), url, case.transport, case.codec, **options)


@contextlib.asynccontextmanager
async def staged(world: World, case: Case) -> AsyncIterator[Stage]:
    """A stage, with its reader."""
    if case.client == "typescript":
        node_port.needed()
    publisher = await world.server("alone" if case.nodes == 1 else "a")
    home = publisher if case.nodes == 1 else await world.server("b")
    async with TcpProxy("127.0.0.1", port_of(home)) as proxy:
        stage = Stage(world, case, publisher, home, proxy)
        await stage.begin()
        has_passed = False
        try:
            yield stage
            has_passed = True
        finally:
            await stage.end(has_passed=has_passed)


def port_of(server: fanwire.Server) -> int:
    """The port at which it listens."""
    assert server.port is not None
    return server.port
