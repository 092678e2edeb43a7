"""The states of a connection on each side, and the transitions between them. The tables are the state machines."""

from __future__ import annotations

from enum import Enum

__all__ = ["CLIENT", "SERVER", "ConnectionState"]


class ConnectionState(Enum):
    """The state of a connection: `Connection.state` on the server, `Client.state` on the client."""

    # Each event looks a state up. `Enum.__hash__` hashes the name in Python; this one is in C.
    __hash__ = object.__hash__

    CONNECTING = "connecting"
    """The first handshake is not done. On the server the 101 is not sent yet; a client makes attempts."""
    OPEN = "open"
    """Messages can be sent and received. A client has received the welcome."""
    RECONNECTING = "reconnecting"
    """The transport was lost. On the server the session waits for its client; a client makes attempts."""
    CLOSING = "closing"
    """The closing handshake has begun; no more messages are accepted."""
    CLOSED = "closed"
    """The connection has ended. A client makes no more attempts."""


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
"""The transitions of a connection on the server. One that never opened has no closing handshake."""

CLIENT: dict[ConnectionState, frozenset[ConnectionState]] = {
    **SERVER,
    ConnectionState.CONNECTING: frozenset({
        ConnectionState.OPEN, ConnectionState.CLOSING, ConnectionState.CLOSED,
    }),
}  # fmt: skip
"""The transitions of a client. It may be closed between the 101 and the welcome, with a closing handshake."""
