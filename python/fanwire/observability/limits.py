"""The limits of a server: each time one is exceeded is counted; it is enforced unless `dry_run` is set."""

from __future__ import annotations

from collections.abc import Callable

from fanwire.config import Config

__all__ = ["HeldBytes", "Limits"]


class Limits:
    """Counts exceeded limits.

    Args:
        config: has the limits.
        count: gets the name of an exceeded limit, a field of `Config`.

    Attributes:
        inbound: the bytes of clients' messages that are held in memory.
    """

    def __init__(self, config: Config, count: Callable[[str], object]) -> None:
        self.config = config
        self.count = count
        self.inbound = HeldBytes(config.inbound_bytes)

    def over(self, limit: str) -> bool:
        """Counts an exceeded limit. Returns whether it is to be enforced."""
        self.count(limit)
        return not self.config.dry_run


class HeldBytes:
    """Bytes of clients' messages that are held in memory, of all connections together.

    Args:
        limit: the most bytes, `inbound_bytes`.

    Attributes:
        bytes: the number now.
    """

    __slots__ = ("bytes", "limit")

    def __init__(self, limit: int) -> None:
        self.bytes = 0
        self.limit = limit

    @property
    def is_full(self) -> bool:
        """Whether there are more bytes than the limit."""
        return self.bytes > self.limit
