"""What can go wrong, sorted by who must act.

::

    ValueError, TypeError         the caller passed something that can never be accepted
    RuntimeError                  the caller used a method where it does not work, such as in another event loop
    FanwireError
    │   the caller must act
    ├── Closed                    the server is not running, or the client or the session is closed
    ├── Overloaded                a bounded queue or table is full: nothing was queued, try again later
    │   └── RoomFull              try again when a member has left
    │   the peer or its application must act
    ├── Refused                   raised by `authenticate`: the peer is not let in
    ├── Reject                    raised by a handler: the answer to a message is no
    ├── RequestFailed             the server has answered a client's request with an error
    ├── RoomEnded                 the client is no longer in a room
    │   the operator must act
    ├── Unavailable               the backplane cannot be reached
    ├── ConnectionFailed          the client has given up
    │   a bug in fanwire
    └── EngineFailed              a thread of the engine has panicked: restart the server

None of them is also a builtin exception: `except OSError` around files, or `except RuntimeError` around an event loop,
catches none of them. What asyncio itself raises stays as it is: a wait that is over is an `asyncio.TimeoutError`, such
as that of `Connection.send(..., ack=True)` for a message that was not acknowledged.

A connection that is already gone is no error: peers leave at any moment, so `send`, `join` and `close` on one
do nothing.
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
"""What a call of the engine may raise although its arguments are right."""

CODE_MAX = ERROR_CODE_MAX
"""Characters of a code: as many as a type of messages has."""

TEXT_MAX = ERROR_TEXT_MAX
"""Characters of a text that are sent: it is a sentence for people, and may quote what the client has sent."""


MEANINGS: dict[int | None, str] = {
    CloseCode.TOKEN_EXPIRED: "the token has expired, and no new one was taken",
    CloseCode.REVOKED: "the server no longer lets this client in",
    CloseCode.TAKEN_OVER: "another connection uses this session",
}
"""What a close code says where the server adds no word of its own."""


class Refused(FanwireError):
    """Raise it in `authenticate` to turn a peer away before the upgrade.

    Args:
        status: the HTTP status of the answer: 401, 403, 404, 429 or 503.
        reason: for the operator's log. The peer sees only the status.
        retry_after: seconds after which the peer may try again (429 and 503), sent as `Retry-After` in whole seconds.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range.
    """

    def __init__(self, status: int = 401, reason: str = "", *, retry_after: float | None = None) -> None:
        if check_integer("status", status) not in (401, 403, 404, 429, 503):
            raise ValueError(f"a refusal has status 401, 403, 404, 429 or 503, not {status}")
        check_text("reason", reason, empty=True)
        if retry_after is not None:
            if isinstance(retry_after, bool) or not isinstance(retry_after, (int, float)):
                raise TypeError(f"retry_after must be a number of seconds or None, got {type(retry_after).__name__}")
            if not 0 <= retry_after < math.inf:
                raise ValueError(f"retry_after must be at least 0 seconds, got {retry_after}")
        super().__init__(reason or HTTPStatus(status).phrase)
        self.status = HTTPStatus(status)
        self.retry_after = None if retry_after is None else math.ceil(retry_after)


class Reject(FanwireError):
    """Raise it in a handler to answer a message with an error of your own. Nothing is logged, the connection goes on.

    The client gets an `error` with these fields. With the Python client its call raises `RequestFailed`, which has
    them as attributes. `Server.on` lists which handlers may raise it, and what it means where no message is answered.

    ::

        @server.on("order", Order)
        def place(conn, order):
            if order.amount > stock:
                raise fanwire.Reject("out_of_stock", "only 3 are left", data={"left": stock})

    Args:
        code: for programs, 1 to 64 printable characters, such as "out_of_stock". The codes of docs/protocol.md may be
            used where they are meant: "forbidden", "rate_limited", "overloaded"...
        text: for people. At most 1,000 characters are sent.
        data: more for programs, of any type that a reply may have; None: nothing.
        retry: whether the same message can succeed later.
        retry_after: when, in seconds; it means that `retry` is true. None: the client is not told.
        path: the field of the payload that is wrong, such as "$.amount"; None: it is not about a field.

    Raises:
        TypeError: the code, the text or the path is no string, or `retry_after` no number.
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
    """The backplane cannot be reached, or has not answered in time. Whether it has done what was asked is unknown: the
    caller may try again with the same id, and the operator looks after the backplane."""


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
