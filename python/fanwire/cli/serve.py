"""A server of rooms by name, for sessions and for clients that know of none. Publishing takes an API key."""

from __future__ import annotations

import hmac
import logging
import os
import resource
import ssl
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import click
import uvloop

from fanwire.cli.failure import Failure, Misuse
from fanwire.cli.settings import Room, ServerTable, Settings
from fanwire.collector import calm
from fanwire.connection import Connection
from fanwire.errors import Overloaded, Refused, RoomFull
from fanwire.request import Request
from fanwire.server import Server
from fanwire.wire import SUBPROTOCOLS

__all__ = ["Identity", "build_server", "identity_of", "run", "run_server"]

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
    server = build_server(settings)
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
        Failure: the certificate cannot be used.
        Misuse: a certificate without its key, or the reverse.
    """
    table = settings.server
    server = Server(
        table.host,
        table.port,
        authenticate=lambda request: identity_of(request, table.api_keys),
        origins=table.origins,
        ssl=tls_context(table),
        api_keys=table.api_keys,
        config=settings.limits,
    )
    for room in [*settings.rooms, Room(pattern="*")]:
        server.room(
            room.pattern,
            delivery=room.delivery,
            max_keys=room.max_keys,
            max_members=room.max_members,
            history=room.history,
            history_bytes=room.history_bytes,
            history_age=room.history_age,
            join=True,
            publish=may_publish,
            presence=room.presence,
        )

    @server.on_connect
    def subscribe(conn: Connection) -> None:
        if conn.session is not None:
            # It says itself what it wants to join.
            return
        try:
            conn.join(conn.identity.room)
        except (Overloaded, RoomFull) as error:
            logger.warning("%r: %s", conn, error)
            conn.close(1013, "try again later")

    return server


class Identity(NamedTuple):
    """Who a client is.

    Attributes:
        subject: stays the same when the client comes back: "" of a subscriber, who is nobody in particular; else the
            place of its API key among the server's.
        room: what a client without a session subscribes to; "" of one with a session.
    """

    subject: str
    room: str


def identity_of(request: Request, api_keys: Collection[str]) -> Identity:
    """Who asks for a connection.

    Raises:
        Refused: 404, the path is no room's; 401, the API key is wrong.
    """
    offers = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    has_session = any(offer.strip() in SUBPROTOCOLS for offer in offers.split(","))
    room = "" if has_session and request.path == "/" else room_of(request.path)
    return Identity(subject_of(request.headers.get("Authorization"), api_keys), "" if has_session else room)


def room_of(path: str) -> str:
    prefix, room = path[: len(ROOMS)], path[len(ROOMS) :]
    if prefix != ROOMS or not 1 <= len(room.encode()) <= ROOM_MAX:
        raise Refused(404, f"no room: {path!r}")
    return room


def subject_of(authorization: str | None, api_keys: Collection[str]) -> str:
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        # What a proxy in front asks for is between it and the client.
        return ""
    # All are compared, in constant time, so that the time tells nothing of any.
    matches = [hmac.compare_digest(key.strip().encode(), known.encode()) for known in api_keys]
    if not any(matches):
        raise Refused(401, "wrong API key")
    return f"key {matches.index(True) + 1}"


def may_publish(conn: Connection, room: str) -> bool:
    return bool(conn.identity.subject)


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


ROOMS = "/rooms/"

ROOM_MAX = 255
"""Bytes of a room's name, as `Server.publish` has it."""
