"""All exceptions of fanwire, sorted by who must act.

::

    ValueError, TypeError         the caller passed something that can never be accepted
    RuntimeError                  the caller used a method where it does not work, such as in another event loop
    FanwireError
    │   the caller must act
    ├── Closed                    the server is not running, or the client or the session is closed
    ├── Overloaded                a bounded queue or table is full: nothing was queued, try again later
    │   └── RoomFull              try again when a member has left
    │   the peer or its application must act
    ├── Refused                   raised by `authenticate`: the client is refused
    ├── Reject                    raised by a handler: the message is answered with an error
    ├── RequestFailed             the server has answered a request of a client or a publisher with an error
    ├── PublishFailed             some messages of `Publisher.publish_many` failed
    ├── RoomEnded                 the client is no longer a member of a room
    │   the operator must act
    ├── Unavailable               the backplane, or for a publisher the server, cannot be reached
    ├── ConnectionFailed          the client has given up
    │   a bug in fanwire
    └── EngineFailed              a thread of the engine has panicked: restart the server

None of them derives from a builtin exception other than `Exception`: `except OSError` or `except RuntimeError` does not
catch them. Exceptions of asyncio are not replaced: a timeout is an `asyncio.TimeoutError`, such as that of
`Connection.send(..., ack=True)` for a message that was not acknowledged.

A connection that has ended is not an error: peers leave at any moment, so `send`, `join` and `close` on it do
nothing.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

from fanwire._engine import Closed, EngineFailed, FanwireError, Overloaded, RoomFull
from fanwire.codes import CloseCode
from fanwire.protocol.table import ERROR_CODE_MAX, ERROR_TEXT_MAX
from fanwire.values.checks import check_integer, check_text

__all__ = [
    "ENGINE_ERRORS",
    "Closed",
    "ConnectionFailed",
    "EngineFailed",
    "FanwireError",
    "Overloaded",
    "Refused",
    "Reject",
    "RequestFailed",
    "RoomEnded",
    "RoomFull",
    "Unavailable",
]

ENGINE_ERRORS = (Closed, Overloaded, EngineFailed)
"""The exceptions that a call of the engine may raise although its arguments are valid."""

CODE_MAX = ERROR_CODE_MAX
"""The largest number of characters of a code, the same as of a type."""

TEXT_MAX = ERROR_TEXT_MAX
"""Characters of a text that are sent; the rest is cut off. A text is for people, and may quote the client's message."""


MEANINGS: dict[int | None, str] = {
    CloseCode.TOKEN_EXPIRED: "the token has expired, and the server has accepted no new token",
    CloseCode.REVOKED: "the server has revoked this session",
    CloseCode.TAKEN_OVER: "another connection uses this session",
}
"""The texts of close codes, used if the server gives no reason."""


class Refused(FanwireError):
    """Raised by `authenticate` to refuse a client before the upgrade.

    Example::

        def authenticate(request: fanwire.Request) -> fanwire.Identity:
            if request.token is None:
                raise fanwire.Refused(403, "no token")
            return fanwire.Identity(subject=request.token)

    Args:
        status: the HTTP status of the answer: 401, 403, 404, 429 or 503.
        reason: the reason for the operator's log; "": the phrase of the status. The client sees only the status.
        retry_after: seconds after which the client may try again (429 and 503), sent as `Retry-After` in whole seconds;
            None: not sent.

    Attributes:
        status: the status, an `HTTPStatus`.
        retry_after: the whole seconds of `Retry-After`; None: not sent.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range.
    """

    def __init__(self, status: int = 401, reason: str = "", *, retry_after: float | None = None) -> None:
        if check_integer("status", status) not in (401, 403, 404, 429, 503):
            raise ValueError(f"status must be 401, 403, 404, 429 or 503, got {status}")
        check_text("reason", reason, empty=True)
        if retry_after is not None:
            if isinstance(retry_after, bool) or not isinstance(retry_after, (int, float)):
                raise TypeError(f"retry_after must be a number of seconds or None, got {type(retry_after).__name__}")
            if not 0 <= retry_after < math.inf:
                raise ValueError(f"retry_after must be at least 0 seconds and finite, got {retry_after}")
        super().__init__(reason or HTTPStatus(status).phrase)
        self.status = HTTPStatus(status)
        self.retry_after = None if retry_after is None else math.ceil(retry_after)


class Reject(FanwireError):
    """Raised by a handler to answer a message with an error of the application. Nothing is logged, and the connection
    goes on.

    The client gets an `error` with these fields. The call of the Python client raises `RequestFailed`, which has them
    as attributes. `Server.on` has the list of the handlers that may raise it, and its effect in each.

    Example::

        @server.on("order", Order)
        def place(conn: fanwire.Connection, order: Order) -> None:
            if order.amount > stock:
                raise fanwire.Reject("out_of_stock", "only 3 are left", data={"left": stock})

    Args:
        code: a code for programs, 1 to 64 printable characters, such as "out_of_stock". Codes of docs/protocol.md may
            be used with their meaning: "forbidden", "rate_limited", "overloaded"...
        text: a text for people; at most 1,000 characters are sent.
        data: additional data for programs, of any type that a reply may have; None: none.
        retry: whether the same message can succeed later.
        retry_after: seconds after which to try again; it sets `retry`. None: the client is not told.
        path: the invalid field of the payload, such as "$.amount"; None: the error is not about a field.

    Raises:
        TypeError: the code, the text or the path is not a str, or `retry_after` is not a number.
        ValueError: the code is empty, too long or not printable, or `retry_after` is negative or not finite.
    """

    # For subclasses that do not call `__init__` of this one.
    code: str = "rejected"
    text: str = ""
    data: Any = None
    retry: bool = False
    retry_after: float | None = None
    path: str | None = None

    def __init__(
        self,
        code: str,
        text: str = "",
        *,
        data: Any = None,
        retry: bool = False,
        retry_after: float | None = None,
        path: str | None = None,
    ) -> None:
        for name, value in (("code", code), ("text", text), ("path", "" if path is None else path)):
            if not isinstance(value, str):
                raise TypeError(f"{name} must be a string, got {value!r}")
        if not 1 <= len(code) <= CODE_MAX or not code.isprintable():
            raise ValueError(f"code must have 1 to {CODE_MAX} printable characters, got {code[: CODE_MAX + 1]!r}")
        if retry_after is not None:
            if isinstance(retry_after, bool) or not isinstance(retry_after, (int, float)):
                raise TypeError(f"retry_after must be a number of seconds or None, got {retry_after!r}")
            if not 0 <= retry_after < math.inf:
                raise ValueError(f"retry_after must be at least 0 seconds and finite, got {retry_after!r}")
        # Both are arguments of the exception, so that it can be pickled: handlers may use processes.
        super().__init__(code, text)
        self.code = code
        self.text = text
        self.data = data
        self.retry = retry or retry_after is not None
        self.retry_after = retry_after
        self.path = path

    def __str__(self) -> str:
        return f"{self.code}: {self.text}" if self.text else self.code


class Unavailable(FanwireError):
    """The backplane cannot be reached or has not answered in time; for a `Publisher`, the server. It is unknown whether
    the operation was done: the caller may try again with the same id, and the operator must look at the backplane or
    the server."""


class RequestFailed(FanwireError):
    """The server has answered a request with an error. The connection goes on.

    Attributes:
        code: a code of the protocol, such as "forbidden", or of the application.
        text: a text for people.
        retry: whether the same request can succeed later.
        path: the invalid field, such as "$.since.seq"; None: the error is not about a field.
        retry_after_ms: milliseconds after which to try again; None: the server does not say.
        data: the `Reject.data` of the server's handler; None: the error has no data.
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
    """The client is no longer a member of a room: no more messages come. Joining it again may succeed.

    Attributes:
        room: the name of the room.
        code: the reason. "left" or "closed": the application has left the room or closed the client. "removed": the
            server has removed the client from the room. "forbidden": the right to be a member was withdrawn.
            "connection_failed": the client has given up. Any other code: the server has refused the join after a
            reconnect with this error, such as "room_full".
        text: a text for people.
        retry: whether joining the room again can succeed later, according to the server.
    """

    def __init__(self, room: str, code: str, text: str = "", *, retry: bool = False) -> None:
        super().__init__(f"room {room!r} has ended: {code}{text and f': {text}'}")
        self.room = room
        self.code = code
        self.text = text
        self.retry = retry


class ConnectionFailed(FanwireError):
    """The client has given up: it has no connection, and makes no more attempts.

    Attributes:
        code: the close code that ended the last connection; None: there was none.
        reason: the reason in the close frame, or a description of what happened.
        status: the HTTP status with which the server has refused the upgrade; None: it has not refused it.
    """

    def __init__(self, reason: str, *, code: int | None = None, status: int | None = None) -> None:
        number = code if code is not None else status
        reason = reason or MEANINGS.get(code, "")
        super().__init__(reason if number is None else f"{number} {reason}".rstrip())
        self.code = code
        self.reason = reason
        self.status = status
