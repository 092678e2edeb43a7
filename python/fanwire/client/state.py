"""The states of a client and the ways between them. The table is the state machine."""

from __future__ import annotations

from enum import Enum

__all__ = ["TRANSITIONS", "ClientState"]


class ClientState(Enum):
    """Where a client stands."""

    CONNECTING = "connecting"
    """There was no connection yet; attempts go on."""
    OPEN = "open"
    """The server has said welcome."""
    RECONNECTING = "reconnecting"
    """The connection was lost; attempts go on. What is published meanwhile waits."""
    CLOSING = "closing"
    """The application has closed the client, the server has not answered yet."""
    CLOSED = "closed"
    """No attempt is made any more."""


TRANSITIONS: dict[ClientState, frozenset[ClientState]] = {
    ClientState.CONNECTING: frozenset({ClientState.OPEN, ClientState.CLOSING, ClientState.CLOSED}),
    ClientState.OPEN: frozenset({ClientState.RECONNECTING, ClientState.CLOSING, ClientState.CLOSED}),
    ClientState.RECONNECTING: frozenset({ClientState.OPEN, ClientState.CLOSING, ClientState.CLOSED}),
    ClientState.CLOSING: frozenset({ClientState.CLOSED}),
    ClientState.CLOSED: frozenset(),
}
