"""What a client's errors say, and the one that never leaves the client.

The tree of errors is in `fanwire.errors`. A lost connection is no error: the client comes back by itself.
"""

from __future__ import annotations

from fanwire.errors import FanwireError

__all__ = ["CLOSED", "REFUSALS", "ProtocolError"]

CLOSED = "the client is closed"
"""What `Closed` says of a client."""

REFUSALS: dict[int, str] = dict.fromkeys(
    (403, 404),
    "the server refuses the upgrade; perhaps the path of the URL is not Fanwire's, which is /fanwire by default where "
    "the server serves an application, too",
)
"""What a status may mean that the upgrade was refused with; an application answers 403 at paths it does not know."""


class ProtocolError(FanwireError):
    """The server sent what the protocol does not allow: the session is given up and a new one is begun.

    For the client's own modules; an application sees at most the `ConnectionFailed` it ends in.
    """
