"""A server of rooms by name, for sessions and for clients that know of none."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import click
import msgspec
import uvloop

from fanwire.backplane.base import Unavailable
from fanwire.backplane.embedded import EmbeddedServer
from fanwire.cli.access import access, room_of
from fanwire.cli.backplane import URL_VARIABLE, build_backplane, embedded_store
from fanwire.cli.failure import Failure, Misuse
from fanwire.cli.settings import Room, ServerTable, Settings
from fanwire.cli.workers import PORT_VARIABLE, run_workers, shared_metrics
from fanwire.codes import CloseCode
from fanwire.collector import calm
from fanwire.config import Config
from fanwire.connection import Connection
from fanwire.errors import Overloaded, RoomFull
from fanwire.server import Server

__all__ = ["build_server", "run", "run_server"]

logger = logging.getLogger("fanwire")


def run(settings: Settings, workers: int = 1) -> None:
    """Serves until a signal, in so many processes.

    Raises:
        Failure: it cannot start.
        Misuse: several processes without a backplane.
    """
    logging.basicConfig(
        level=settings.server.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    raise_file_limit()
    is_worker = PORT_VARIABLE in os.environ
    try:
        server = build_server(settings)
    except ValueError as error:
        raise Misuse(str(error)) from error
    store = embedded_store(settings.nats)
    if workers > 1 and not is_worker:
        if settings.nats is None:
            raise Misuse("several workers meet over NATS: add --nats embedded, or the address of a server")
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(supervise(settings, workers, server.url, store))
        return
    run_server(server, lambda: click.echo(f"fanwire listens at {server.url}"), store)


async def supervise(settings: Settings, workers: int, url: str, store: str | None) -> None:
    """Runs the workers, and the NATS server that they share."""
    async with embedded(store) as nats_url:
        table, limits = settings.server, settings.limits
        env = {} if nats_url is None else {URL_VARIABLE: nats_url}

        def ready(port: int) -> None:
            click.echo(f"fanwire listens at {url.rpartition(':')[0]}:{port}, {workers} workers")

        await run_workers(workers, table.host, table.port, env, limits.drain_timeout + 10, ready)


@contextlib.asynccontextmanager
async def embedded(store: str | None) -> AsyncIterator[str | None]:
    """A NATS server of our own, and its address; without a store none.

    Raises:
        Failure: it does not start.
    """
    if store is None:
        yield None
        return
    server = EmbeddedServer(store)
    try:
        await server.start()
    except OSError as error:
        raise Failure(str(error)) from error
    try:
        yield server.url
    finally:
        await server.stop()


def run_server(server: Server, ready: Callable[[], object], store: str | None = None) -> None:
    """Runs a server on uvloop, its failures to start told as such; beside it a NATS server with that store, if any.

    Raises:
        Failure: it cannot start.
    """
    is_up = False

    def note_ready() -> None:
        nonlocal is_up
        is_up = True
        ready()

    async def serve() -> None:
        async with embedded(store) as url:
            if url is not None:
                os.environ[URL_VARIABLE] = url
            async with shared_metrics(server):
                await server.serve(ready=note_ready)

    try:
        calm()
        uvloop.run(serve())
    except Unavailable as error:
        raise Failure(str(error)) from error
    except (OSError, ValueError) as error:
        if is_up:
            raise
        if isinstance(error, ValueError):
            raise Misuse(str(error)) from error
        raise Failure(f"cannot listen at {server.host}:{server.port}: {reason_of(error)}") from error
    except KeyboardInterrupt:
        # A second Ctrl-C, or one before the server was up. The shell's number for it, without a word.
        raise SystemExit(130) from None


def build_server(settings: Settings) -> Server:
    """The server that the settings ask for, not yet started.

    Raises:
        Failure: a certificate or key cannot be used.
        Misuse: a certificate without its key, or the reverse; nobody would be let in; a rule that is none.
    """
    table = settings.server
    port = os.environ.get(PORT_VARIABLE)
    server = Server(
        table.host,
        table.port if port is None else int(port),
        reuse_port=port is not None,
        backplane=build_backplane(settings.nats),
        authenticate=access(settings),
        origins=table.origins,
        hosts=table.hosts,
        trusted_proxies=table.trusted_proxies,
        ssl=tls_context(table),
        api_keys=table.api_keys,
        prefix=table.prefix,
        config=settings.limits,
    )
    for room in [*settings.rooms, Room(pattern="*")]:
        server.room(**msgspec.structs.asdict(room))
    # One with a session says itself what it wants to join.
    server.on_connect(lambda conn: subscribe(conn, settings.limits) if conn.session is None else None)
    return server


async def subscribe(conn: Connection, limits: Config) -> None:
    """Makes a client without a session a member of the room in its path."""
    room = room_of(conn.request, limits)
    if not await conn.may("join", room):
        conn.close(CloseCode.POLICY, "this room is not open to you")
        return
    try:
        conn.join(room)
    except (Overloaded, RoomFull) as error:
        logger.warning("%r: %s", conn, error)
        conn.close(CloseCode.TRY_AGAIN_LATER, "try again later")


def tls_context(table: ServerTable) -> ssl.SSLContext | None:
    """What makes a TLS server of it; None without a certificate."""
    if table.tls_cert is None and table.tls_key is None:
        return None
    if table.tls_cert is None or table.tls_key is None:
        raise Misuse("a certificate needs its key and the reverse: give both tls_cert and tls_key, or neither")
    path = table.tls_cert
    try:
        # OpenSSL's own error does not say which file.
        for path in (table.tls_cert, table.tls_key):
            Path(path).open("rb").close()
    except OSError as error:
        raise Failure(f"cannot read {path}: {reason_of(error)}") from error
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # The password: OpenSSL would ask at the terminal for one.
        context.load_cert_chain(table.tls_cert, table.tls_key, password="")
    except ssl.SSLError as error:
        wanted = "a certificate and its own key, both PEM, the key without a password"
        raise Failure(f"{table.tls_cert} and {table.tls_key} are not {wanted}: {error}") from error
    return context


def raise_file_limit() -> None:
    """Raises the soft limit of open files to the hard one: each connection takes two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # macOS calls its hard limit infinite and allows less.
        logger.warning("the limit of open files stays at %d", resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def reason_of(error: OSError) -> str:
    """What the system says, without the wordings that loops wrap around it."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror or error)
