"""What can go wrong, sorted by who must act.

::

    ValueError, TypeError         the caller passed something that can never be accepted
    Refused                       raised by `authenticate`: the peer is not let in
    RuntimeError
    └── EngineError               a bug in fanwire, the operator restarts the server
        ├── EngineClosed          the caller used a server before its start, after its stop, or after a fork
        ├── Overloaded            the caller tries again later: a bounded queue is full, nothing was queued
        └── RoomFull              the caller tries again when a member has left

A connection that is already gone is no error: peers leave at any moment, so `send`, `join` and `close` on one
do nothing.
"""

from __future__ import annotations

import math
from http import HTTPStatus

from fanwire._engine import EngineClosed, EngineError, Overloaded, RoomFull
from fanwire.checks import check_integer, check_text

__all__ = ["Closed", "EngineClosed", "EngineError", "FanwireError", "Overloaded", "Refused", "RoomFull"]


class FanwireError(Exception):
    """The base of every error of fanwire's own."""


class Closed(FanwireError):
    """The caller used a server that is not running, or a client that is closed."""


class Refused(Exception):
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
