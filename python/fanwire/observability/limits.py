"""What happens when a limit is passed: it is counted, and enforced unless this is a dry run."""

from __future__ import annotations

from collections.abc import Callable

from fanwire.config import Config

__all__ = ["Held", "Limits"]


class Limits:
    """The limits of a server.

    Args:
        config: what they are.
        count: is told the name of a limit that was passed, a field of `Config`.

    Attributes:
        inbound: bytes that are held of what clients send.
    """

    def __init__(self, config: Config, count: Callable[[str], object]) -> None:
        self.config = config
        self.count = count
        self.inbound = Held(config.inbound_bytes)

    def over(self, limit: str) -> bool:
        """A limit was passed. Whether that has a consequence."""
        self.count(limit)
        return not self.config.dry_run


class Held:
    """Bytes of what clients have sent that are held in memory, all connections together.

    Attributes:
        bytes: how many there are now.
    """

    __slots__ = ("bytes", "limit")

    def __init__(self, limit: int) -> None:
        self.bytes = 0
        self.limit = limit

    @property
    def is_full(self) -> bool:
        """Whether there are more than may be."""
        return self.bytes > self.limit
