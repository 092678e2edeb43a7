"""A server of rooms by name, for sessions and for clients that know of none."""

from __future__ import annotations

import logging
import os
import resource
import ssl
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
import uvloop

from fanwire.cli.access import access, room_of
from fanwire.cli.failure import Failure, Misuse
from fanwire.cli.settings import Room, ServerTable, Settings
from fanwire.codes import CloseCode
from fanwire.collector import calm
from fanwire.config import Config
from fanwire.connection import Connection
from fanwire.errors import Overloaded, RoomFull
from fanwire.server import Server

__all__ = ["build_server", "run", "run_server"]

logger = logging.getLogger("fanwire")


def run(settings: Settings) -> None:
    """Serves until a signal.

    Raises:
        Failure: it cannot start.
    """
    logging.basicConfig(
        level=settings.server.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    raise_file_limit()
    try:
        server = build_server(settings)
    except ValueError as error:
        raise Misuse(str(error)) from error
    run_server(server, lambda: click.echo(f"fanwire listens at {server.url}"))


def run_server(server: Server, ready: Callable[[], object]) -> None:
    """Runs a server on uvloop, its failures to start told as such.

    Raises:
        Failure: it cannot start.
    """
    is_up = False

    def note_ready() -> None:
        nonlocal is_up
        is_up = True
        ready()

    try:
        calm()
        uvloop.run(server.serve(ready=note_ready))
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
    server = Server(
        table.host,
        table.port,
        authenticate=access(settings),
        origins=table.origins,
        hosts=table.hosts,
        trusted_proxies=table.trusted_proxies,
        ssl=tls_context(table),
        api_keys=table.api_keys,
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
