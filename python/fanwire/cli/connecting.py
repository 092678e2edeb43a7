"""The connection of a command: it fails at once if there is no server, and reconnects when it is lost."""

from __future__ import annotations

import logging
import os
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.client import Client, ConnectionFailed, connect
from fanwire.client.chooser import TRANSPORTS
from fanwire.client.head import described_url
from fanwire.state import ConnectionState

__all__ = ["Tell", "reach", "reason_of"]

Tell = Callable[[str], object]
"""Writes a line for the user."""

ATTEMPTS = 100
"""Attempts to reconnect: about an hour and a half, in which an operator can restart the server."""

FIRST = "given up after 1 attempt: "


@asynccontextmanager
async def reach(
    url: str,
    *,
    token: str | None = None,
    transport: str | None = None,
    is_compressed: bool = False,
    ca: str | None = None,
    tell: Tell | None = None,
) -> AsyncIterator[Client]:
    """A connected client, which reconnects when the connection is lost.

    Args:
        url: of the server.
        token: an API key or a token.
        transport: the name of the transport; None: the first that works.
        is_compressed: whether the server is asked to compress messages.
        ca: the file of the certificates that are trusted; None: those of the system.
        tell: gets a line for each state, each session and each failed attempt; None: they are not shown.

    Raises:
        CommandFailed: there is no connection.
        Misuse: `ca` is no file of certificates, or the URL is one without TLS.
    """
    log = logging.getLogger("fanwire.client")
    # Without any handler Python itself would write warnings to the standard error.
    handler = logging.NullHandler() if tell is None else _Told(tell)
    log.addHandler(handler)
    try:
        # Many attempts for a server that restarts, one for a URL with a typing error.
        transports = TRANSPORTS if transport is None else (transport,)
        compression = "deflate" if is_compressed else None
        client = connect(
            url,
            token=token,
            max_attempts=ATTEMPTS,
            first_attempts=1,
            ssl=trusting(ca, url),
            transports=transports,
            compression=compression,
        )
        if tell is not None:
            _watch(client, tell)
        async with client:
            yield client
    except ConnectionFailed as error:
        hint = "; beside an application Fanwire is at /fanwire by default" if error.status in _ELSEWHERE else ""
        raise CommandFailed(f"{url}: {reason_of(error)}{hint}") from error
    finally:
        log.removeHandler(handler)


def trusting(ca: str | None, url: str) -> ssl.SSLContext | None:
    """A context that trusts the certificates of a file; None: there is no file.

    Raises:
        Misuse: there are no certificates in it, or the URL is one without TLS.
    """
    if ca is None:
        return None
    if not url.startswith("wss:"):
        raise Misuse(f"--ca is for URLs that begin with https:// or wss://, got {described_url(url)}")
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        reason = "there is no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise Misuse(f"--ca {ca}: {reason}") from error


def reason_of(error: ConnectionFailed) -> str:
    """The reason why there is no connection, for the user."""
    if error.status is not None:
        return f"{error.status} {HTTPStatus(error.status).phrase}" if error.status in _STATUSES else str(error.status)
    found = re.search(r"\[Errno (\d+)\]", str(error))
    if found is not None:
        # The system's text alone: each loop wraps it in other words.
        return os.strerror(int(found[1]))
    # 1006 means that there was no close frame, and does not help the user.
    return str(error).removeprefix(FIRST).removeprefix("1006 ")


def _watch(client: Client, tell: Tell) -> None:
    session: str | None = None

    @client.on_state
    def changed(state: ConnectionState) -> None:
        nonlocal session
        if state is ConnectionState.OPEN:
            kind = "resumed" if client.session == session else "is new"
            how = ", compressed" if client.is_compressed else ""
            tell(f"session {client.session} {kind}, by {client.transport}{how}")
            session = client.session
        else:
            rooms = "".join(f", {room.name} at {room.epoch}:{room.seq}" for room in client.rooms.values())
            tell(f"{state.value}{rooms}")


class _Told(logging.Handler):
    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())


_STATUSES = frozenset(HTTPStatus)

_ELSEWHERE = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
"""What an application answers at a path that it does not know."""
