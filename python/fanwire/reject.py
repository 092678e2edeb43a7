"""How a handler says no: an error of the application's own, which its client gets as an answer.

It is not for what the peer of an upgrade is told before it is let in (`Refused`), nor for failures: those are any other
exception. A client gets nothing but the fields that are set here.
"""

from __future__ import annotations

import math
from typing import Any

from fanwire.protocol.table import ERROR_CODE_MAX, ERROR_TEXT_MAX

__all__ = ["CODE_MAX", "TEXT_MAX", "Reject", "reject_of"]

CODE_MAX = ERROR_CODE_MAX
"""Characters of a code: as many as a type of messages has."""

TEXT_MAX = ERROR_TEXT_MAX
"""Characters of a text that are sent: it is a sentence for people, and may quote what the client has sent."""


class Reject(Exception):
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


def reject_of(error: BaseException) -> Reject | None:
    """The `Reject` that an exception is, or that a group of exceptions consists of; None: it is something else.

    A handler that works with a `TaskGroup` raises its rejections in a group. A subclass whose fields no client could
    read, such as a number as its `code`, is a mistake of the application, and so any other exception.
    """
    if isinstance(error, Reject):
        return error if _is_readable(error) else None
    inner = getattr(error, "exceptions", None)
    if isinstance(inner, (tuple, list)) and inner:
        found = [reject_of(one) for one in inner]
        return found[0] if all(found) else None
    return None


def _is_readable(reject: Reject) -> bool:
    try:
        Reject(reject.code, reject.text, retry_after=reject.retry_after, path=reject.path)
        return isinstance(reject.retry, bool)
    except Exception:  # noqa: BLE001 - a field may be a property
        return False
