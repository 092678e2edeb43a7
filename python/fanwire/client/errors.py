"""What can go wrong for a client, and what its errors say.

`fanwire.errors` has the whole tree, sorted by who must act. Of a client's own there are::

    FanwireError
    ├── Closed                the caller used a client that it has closed
    ├── RequestFailed         the server answered with an error: `code` and `retry` say what to do
    ├── RoomEnded             a room has ended and the application did not want it: `code` says why
    └── ConnectionFailed      the client has given up: `code` or `status` say who must act

A lost connection is none of these: the client comes back by itself. `ConnectionFailed` is no `OSError`, since it also
tells of a server that refuses the client.
"""

from __future__ import annotations

from typing import Any

from fanwire.codes import CloseCode
from fanwire.errors import FanwireError

__all__ = ["CLOSED", "ConnectionFailed", "ProtocolError", "RequestFailed", "RoomEnded"]

CLOSED = "the client is closed"
"""What `Closed` says of a client."""

MEANINGS: dict[int | None, str] = {
    CloseCode.TOKEN_EXPIRED: "the token has expired, and no new one was taken",
    CloseCode.REVOKED: "the server no longer lets this client in",
    CloseCode.TAKEN_OVER: "another connection uses this session",
}
"""What a close code says where the server adds no word of its own."""

REFUSALS: dict[int, str] = dict.fromkeys(
    (403, 404),
    "the server refuses the upgrade; perhaps the path of the URL is not Fanwire's, which is /fanwire by default where "
    "the server serves an application, too",
)
"""What a status may mean that the upgrade was refused with; an application answers 403 at paths it does not know."""


class RequestFailed(FanwireError):
    """The server did not do it. The connection goes on.

    Attributes:
        code: one of the codes of the protocol, such as "forbidden", or of the application.
        text: for people.
        retry: whether the same can succeed later.
        path: the field that was wrong, such as "$.since.seq"; None where the error is not about a field.
        retry_after_ms: when to try again, in milliseconds; None: the server does not say.
        data: what the server's handler has added, see `fanwire.Reject`; None: nothing.
    """

    def __init__(
        self,
        code: str,
        text: str = "",
        *,
        retry: bool = False,
        path: str | None = None,
        retry_after_ms: int | None = None,
        data: Any = None,
    ) -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code
        self.text = text
        self.retry = retry
        self.path = path
        self.retry_after_ms = retry_after_ms
        self.data = data


class RoomEnded(FanwireError):
    """A room has ended: no more messages come. Joining it again may succeed.

    Attributes:
        room: its name.
        code: why: "left" or "closed" where the application has left the room or closed the client; "removed" where the
            server has taken the client out of the room; "forbidden" where the right to be there was withdrawn;
            "connection_failed" where the client has given up; or the code of the error with which the server has
            refused to let the client in again, such as "room_full".
        text: for people.
        retry: whether joining it again can succeed later, as far as the server says.
    """

    def __init__(self, room: str, code: str, text: str = "", *, retry: bool = False) -> None:
        super().__init__(f"room {room!r} has ended: {code}{text and f': {text}'}")
        self.room = room
        self.code = code
        self.text = text
        self.retry = retry


class ConnectionFailed(FanwireError):
    """There is no connection and the client no longer tries.

    Attributes:
        code: the close code that ended it; None if it ended otherwise.
        reason: the text with it, or what happened.
        status: the HTTP status that the upgrade was refused with; None if it was not.
    """

    def __init__(self, reason: str, *, code: int | None = None, status: int | None = None) -> None:
        number = code if code is not None else status
        reason = reason or MEANINGS.get(code, "")
        super().__init__(reason if number is None else f"{number} {reason}".rstrip())
        self.code = code
        self.reason = reason
        self.status = status


class ProtocolError(FanwireError):
    """The server sent what the protocol does not allow: the session is given up and a new one is begun.

    For the client's own modules; an application sees at most the `ConnectionFailed` it ends in.
    """
