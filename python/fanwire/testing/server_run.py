"""A server that runs for a test: on a free port, with clients of the test's own, until the end of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fanwire.client import Client, connect
from fanwire.identity.authentication import Authentication
from fanwire.identity.identity import Identity
from fanwire.listening.listeners import Tcp
from fanwire.process.assembly import Assembly, Parts
from fanwire.server import Server
from fanwire.testing.fault_proxy import FaultProxy
from fanwire.testing.known_identities import KnownIdentities
from fanwire.testing.publications import Publications
from fanwire.testing.raw_client import RawClient
from fanwire.values.checks import check_instance

__all__ = ["ServerRun", "running"]

STOP = 1.0
"""Seconds for clients to close at the end of a test. All of them are the test's own, so there is nobody to wait for."""


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[ServerRun]:
    """Starts a server at a free port of 127.0.0.1, whatever its own address is, and stops it at the end, after all
    clients and proxies that the `ServerRun` has made. The server is then as it was before.

    Everything else is that of the server: its application, its rooms, `authenticate`, TLS, limits. If it has `hosts`,
    these must include "127.0.0.1".

    Raises:
        TypeError: it is no `fanwire.Server`, but an application, for example: give the server that has it.
        RuntimeError: the server runs already.
        Exception: the start has failed, see `Server.start`.

    Example::

        async def prices_reach_members() -> None:
            async with running(server) as run:
                client = await run.client("alice")
                room = await client.join("prices")
                run.server.publish("prices", 1.08)
                await expect(room).to_receive(1.08)
    """
    check_instance("server", server, Server, "a fanwire.Server")
    if server._is_running:
        raise RuntimeError("the server runs already: start it with `running` only")
    own = server._listeners, server._authentication, server._life._assemble
    identities, published = KnownIdentities(server._authentication), Publications()
    config = server.config
    server._listen_at(Tcp("127.0.0.1", 0, False))
    server._authentication = Authentication(identities, config.handshake_timeout, config.token_grace, server._calls)
    server._life._assemble = lambda: _WatchedAssembly(**vars(own[2]()), published=published)
    try:
        await server.start()
        try:
            async with AsyncExitStack() as stack:
                yield ServerRun(server, identities, published, stack)
        finally:
            await server.stop(STOP)
    finally:
        server._listeners, server._authentication, server._life._assemble = own


class ServerRun:
    """A server that runs for a test. `running` makes it.

    Attributes:
        server: the server.
        published: what is published at it, also by its application while it starts.
    """

    def __init__(
        self, server: Server, identities: KnownIdentities, published: Publications, stack: AsyncExitStack
    ) -> None:
        self.server = server
        self.published = published
        self._identities = identities
        self._stack = stack

    @property
    def url(self) -> str:
        """The URL for clients, such as "ws://127.0.0.1:40123/fanwire"."""
        return self.server.url

    @property
    def http_url(self) -> str:
        """The URL of plain HTTP and of the application, such as "http://127.0.0.1:40123"."""
        scheme = "https" if self.server.url.startswith("wss:") else "http"
        return f"{scheme}://127.0.0.1:{self.server.port}"

    async def client(self, identity: Any = None, *, url: str | None = None, **options: Any) -> Client:
        """Connects a client with a session, which is closed at the end of the run.

        Args:
            identity: a subject, such as "alice", or an identity with scopes or an expiry: the client is accepted with
                it, whatever `authenticate` says. None: `authenticate` decides, by the `token` or the `headers`.
            url: the URL to connect to, such as that of a `FaultProxy`; None: that of the server.
            options: those of `fanwire.connect`, such as `token` or `transports`. By default `first_attempts` is 1 and
                `close_timeout` 1 second, so that a refused client fails at once.

        Raises:
            ConnectionFailed: the server has refused the client; `error.status` says how.
            TypeError: both an identity and a token are given.

        Example::

            async def two_clients(run: ServerRun) -> None:
                alice = await run.client("alice")
                trader = await run.client(fanwire.Identity(subject="bob", scopes=frozenset({"trade"})))
        """
        settings: dict[str, Any] = {"first_attempts": 1, "close_timeout": 1.0, **options}
        if identity is not None:
            settings["token"] = self._token(identity, settings.get("token"))
        return await self._stack.enter_async_context(connect(url or self.url, **settings))

    async def raw_client(
        self,
        identity: Any = None,
        *,
        url: str | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RawClient:
        """Connects a client without a session, which is closed at the end of the run. Arguments are those of
        `client`.

        Raises:
            websockets.InvalidStatus: the server has refused the client.
            TypeError: both an identity and a token are given.
        """
        if identity is not None:
            token = self._token(identity, token)
        return await self._stack.enter_async_context(RawClient(url or self.url, token=token, headers=headers))

    async def proxy(self) -> FaultProxy:
        """Starts a `FaultProxy` before the server, which ends with the run."""
        return await self._stack.enter_async_context(FaultProxy(self.server))

    def token(self, identity: Any) -> str:
        """Makes a token that stands for an identity while the server runs, for clients of other kinds: it is sent as
        `Authorization: Bearer`. It is for connections of Fanwire; routes of the application do not know it.

        Args:
            identity: as in `client`.
        """
        return self._token(identity, None)

    def _token(self, identity: Any, token: object) -> str:
        if token is not None:
            raise TypeError("give a client an identity or a token, not both")
        return self._identities.token_of(Identity(subject=identity) if isinstance(identity, str) else identity)


@dataclass(frozen=True, kw_only=True)
class _WatchedAssembly(Assembly):
    """Has the node watched before the application starts."""

    published: Publications

    async def build(self, stack: AsyncExitStack) -> Parts:
        parts = await super().build(stack)
        self.published.watch(parts.node)
        return parts
