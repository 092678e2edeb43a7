"""How many connections have ended, by close code. Pure."""

from __future__ import annotations

__all__ = ["CloseCounts"]


class CloseCounts:
    """Counts ends by code.

    Attributes:
        by_code: the counts. Clients choose codes, too: beyond `MAX_CODES` different ones, new ones count as 0.
    """

    def __init__(self) -> None:
        self.by_code: dict[int, int] = {}

    def count(self, code: int) -> None:
        """Counts the end of a connection."""
        if code not in self.by_code and len(self.by_code) >= MAX_CODES:
            code = 0
        self.by_code[code] = self.by_code.get(code, 0) + 1


MAX_CODES = 64
"""Different codes that are counted. Servers and browsers send about a dozen."""
