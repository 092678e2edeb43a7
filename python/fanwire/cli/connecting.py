"""The connection of a command to a server: an error at once where there is no server, reconnecting afterwards."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from fanwire.cli.failure import Failure
from fanwire.client import Client, ConnectionFailed, connect
from fanwire.state import ConnectionState

__all__ = ["Tell", "reach", "reason_of"]

Tell = Callable[[str], object]
"""Takes one line of a report."""

ATTEMPTS = 100
"""Attempts to reconnect, one after the other: about an hour and a half, time enough to repair the server."""

FIRST = "given up after 1 attempt: "


@asynccontextmanager
async def reach(url: str, *, token: str | None = None, tell: Tell | None = None) -> AsyncIterator[Client]:
    """A client that is connected, and comes back when the connection is lost.

    Args:
        url: of the server.
        token: an API key.
        tell: is told each state and session, and each attempt that fails; None: no reports.

    Raises:
        Failure: there is no connection.
    """
    log = logging.getLogger("fanwire.client")
    # Without any handler Python itself would write warnings to the standard error.
    handler = logging.NullHandler() if tell is None else _Told(tell)
    log.addHandler(handler)
    try:
        # Patience with a server that is restarted, and none with a typing error.
        client = connect(url, token=token, max_attempts=ATTEMPTS, first_attempts=1)
        if tell is not None:
            _watch(client, tell)
        async with client:
            yield client
    except ConnectionFailed as error:
        raise Failure(f"{url}: {reason_of(error)}") from error
    finally:
        log.removeHandler(handler)


def reason_of(error: ConnectionFailed) -> str:
    """Why there is no connection, in one line for people."""
    if error.status is not None:
        return f"{error.status} {HTTPStatus(error.status).phrase}" if error.status in _STATUSES else str(error.status)
    found = re.search(r"\[Errno (\d+)\]", str(error))
    if found is not None:
        # What the system says, without the wordings that loops wrap around it.
        return os.strerror(int(found[1]))
    # 1006 is what is reported where there was no close frame, and says nothing to people.
    return str(error).removeprefix(FIRST).removeprefix("1006 ")


def _watch(client: Client, tell: Tell) -> None:
    session: str | None = None

    @client.on_state
    def changed(state: ConnectionState) -> None:
        nonlocal session
        if state is ConnectionState.OPEN:
            tell(f"session {client.session} {'resumed' if client.session == session else 'is new'}")
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
