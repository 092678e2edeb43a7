"""TLS, which the event loop speaks: what it has decrypted goes to the engine, and what the engine sends comes here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from fanwire._engine import Engine, EngineError

__all__ = ["WINDOW", "Encrypted"]


class Encrypted(asyncio.Protocol):
    """The protocol of a transport that speaks TLS, between the loop and the engine.

    Args:
        engine: reads and writes.
        transport: the peer's.
        names: the engine's ids of the connection that it carries now and of this link; None: it carries none any more.
    """

    def __init__(
        self, engine: Engine, transport: asyncio.Transport, names: Callable[[], tuple[int, int] | None]
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._names = names
        self._unread = self._owed = 0
        self._is_reading_paused = self._is_writing_paused = False
        transport.set_write_buffer_limits(high=WINDOW)

    # What the loop calls.

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        self._feed(data)
        self._unread += len(data)
        if self._unread > WINDOW and not self._is_reading_paused:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._feed(None)

    def pause_writing(self) -> None:
        """The transport holds as much as it should."""
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        """It takes more: so may the engine."""
        self._is_writing_paused = False
        self._grant()

    # What the engine asks for.

    def read(self, size: int) -> None:
        """So much of what has come was looked at."""
        self._unread -= size
        if self._unread <= WINDOW // 2 and self._is_reading_paused:
            self._is_reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def deliver(self, data: bytes) -> None:
        """Writes bytes."""
        self._transport.write(data)
        self._owed += len(data)
        if not self._is_writing_paused:
            self._grant()

    def end(self, is_abrupt: bool) -> None:
        """Ends the transport, at once or after what it holds."""
        if is_abrupt:
            self._transport.abort()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Ends it at once."""
        self._transport.abort()

    def _feed(self, data: bytes | None) -> None:
        names = self._names()
        if names is not None:
            with contextlib.suppress(EngineError):
                self._engine.feed(*names, data)

    def _grant(self) -> None:
        owed, self._owed = self._owed, 0
        names = self._names()
        if owed and names is not None:
            with contextlib.suppress(EngineError):
                self._engine.grant(names[0], owed)


WINDOW = 64 << 10
"""Bytes that the transport may hold, either way: enough for a full pipe, little enough that what to drop is decided
late."""
