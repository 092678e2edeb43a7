"""The bytes of one request's body, counted with those of all others while the request runs. Pure."""

from __future__ import annotations

from http import HTTPStatus

from fanwire.http.body import HttpError
from fanwire.observability.limits import Limits

__all__ = ["BodyHold"]


class BodyHold:
    """What one request holds.

    Args:
        limits: has the bytes of all requests.
    """

    __slots__ = ("_limits", "_size")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._size = 0

    def add(self, size: int) -> None:
        """Counts a part of the body that has come. Bodies of at most `SMALL` bytes always come through: heartbeats, and
        what a person does.

        Raises:
            HttpError: 503, the bodies of all requests have too many bytes.
        """
        self._size += size
        self._limits.inbound.bytes += size
        if self._size > SMALL and self._limits.inbound.is_full and self._limits.over("inbound_bytes"):
            text = "the server is short of memory; send the same request again"
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", text, retry_after=1)

    def leave(self) -> None:
        """The request has ended. Later calls do nothing."""
        size, self._size = self._size, 0
        self._limits.inbound.bytes -= size


SMALL = 4096
"""Bytes of a body that are never refused. A connection holds more than that anyway."""
