"""The time of a fake engine: it stands still until a test lets it pass."""

from __future__ import annotations


class Clock:
    """Microseconds since 1970, from a fixed moment on."""

    def __init__(self) -> None:
        self.now_us = START_US

    @property
    def now_ms(self) -> int:
        return self.now_us // 1000

    def pass_seconds(self, seconds: float) -> None:
        """Time passes."""
        self.now_us += int(seconds * 1_000_000)


START_US = 1_700_000_000_000_000
