"""The authentication of a server that refuses clients for a while."""

from __future__ import annotations

import fanwire
from helpers.serving import Book

__all__ = ["Door"]


class Door:
    """Lets everyone in as "ann" while it is open. Otherwise refuses with 503, and clients may come again at once."""

    def __init__(self) -> None:
        self._is_open = True

    def __call__(self, request: fanwire.Request) -> str:
        if not self._is_open:
            raise fanwire.Refused(503, retry_after=0)
        return "ann"

    def shut(self, server: Book) -> None:
        """Refuses from now on, and loses the connections of the server."""
        self._is_open = False
        server.cut_all()

    def open(self) -> None:
        """Lets clients in again."""
        self._is_open = True
