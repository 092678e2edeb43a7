"""What a client's errors say, and the one that never leaves the client.

The tree of errors is in `fanwire.errors`. A lost connection is no error: the client comes back by itself.
"""

from __future__ import annotations

from fanwire.errors import FanwireError

__all__ = ["CLOSED", "REFUSALS", "ProtocolError"]

CLOSED = "the client is closed"
"""What `Closed` says of a client."""

REFUSALS: dict[int, str] = {
    401: "the server does not accept the token, or there is none: see the argument `token`",
    403: (
        "the server refuses this client: its token may have no right to connect, or its origin or host is not allowed; "
        "or the path of the URL belongs to an application (Fanwire is at /fanwire by default beside one)"
    ),
    404: (
        "there is no Fanwire at the path of the URL; it is at /fanwire by default where the server serves an "
        "application, too"
    ),
}
"""What a status means with which the upgrade was refused. An application answers 403 or 404 at paths that it does not
know."""


class ProtocolError(FanwireError):
    """The server sent what the protocol does not allow: the session is given up and a new one is begun.

    For the client's own modules; an application sees at most the `ConnectionFailed` it ends in.
    """
