"""The states of a connection, as each side sees it, and the ways between them. The tables are the state machines."""

from __future__ import annotations

from enum import Enum

__all__ = ["CLIENT", "SERVER", "ConnectionState"]


class ConnectionState(Enum):
    """Where a connection stands: `Connection.state` on the server, `Client.state` on the client."""

    # By identity, and in C: that of `Enum` hashes the name, in Python, and each event looks a state up.
    __hash__ = object.__hash__

    CONNECTING = "connecting"
    """The first handshake is not done. On the server the 101 has not left yet; a client goes on with its attempts."""
    OPEN = "open"
    """Messages flow. A client has had the server's welcome."""
    RECONNECTING = "reconnecting"
    """The transport was lost. On the server the session waits for its client; a client goes on with its attempts."""
    CLOSING = "closing"
    """The closing handshake has begun; no message is accepted any more."""
    CLOSED = "closed"
    """The connection is gone. A client makes no attempt any more."""


SERVER: dict[ConnectionState, frozenset[ConnectionState]] = {
    ConnectionState.CONNECTING: frozenset({ConnectionState.OPEN, ConnectionState.CLOSED}),
    ConnectionState.OPEN: frozenset({
        ConnectionState.RECONNECTING, ConnectionState.CLOSING, ConnectionState.CLOSED,
    }),
    ConnectionState.RECONNECTING: frozenset({
        ConnectionState.OPEN, ConnectionState.CLOSING, ConnectionState.CLOSED,
    }),
    ConnectionState.CLOSING: frozenset({ConnectionState.CLOSED}),
    ConnectionState.CLOSED: frozenset(),
}  # fmt: skip
"""Of a connection on the server. One that never opened has no closing handshake."""

CLIENT: dict[ConnectionState, frozenset[ConnectionState]] = {
    **SERVER,
    ConnectionState.CONNECTING: frozenset({
        ConnectionState.OPEN, ConnectionState.CLOSING, ConnectionState.CLOSED,
    }),
}  # fmt: skip
"""Of a client. It may be closed between the 101 and the welcome, with a closing handshake."""
