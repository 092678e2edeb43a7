"""TLS, which the event loop speaks: what it has decrypted goes to the engine, and what the engine sends comes here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

from fanwire._engine import Engine
from fanwire.errors import ENGINE_ERRORS

__all__ = ["WINDOW", "Encrypted"]


class Encrypted(asyncio.Protocol):
    """The protocol of a transport that speaks TLS, between the loop and the engine.

    Args:
        engine: reads and writes.
        names: the engine's ids of the connection that it carries now and of this link, or of a newcomer its id twice;
            None: it carries none any more. It may be replaced.
        lost: is called when the transport is gone.

    Attributes:
        names: see above.
        handshake: the task of the TLS handshake, while it runs.
    """

    def __init__(self, engine: Engine, names: Callable[[], tuple[int, int] | None], lost: Callable[[], object]) -> None:
        self._engine = engine
        self.names = names
        self._lost = lost
        self.handshake: asyncio.Future[Any] | None = None
        self._transport: asyncio.Transport | None = None
        self._heir: asyncio.Protocol | None = None
        self._unwritten: list[bytes] = []
        self._unread = self._owed = 0
        self._is_reading_paused = self._is_writing_paused = False

    @property
    def is_there(self) -> bool:
        """Whether the TLS handshake has succeeded."""
        return self._transport is not None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TLS handshake has succeeded."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WINDOW)

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        self._feed(data)
        self._unread += len(data)
        if self._unread > WINDOW and not self._is_reading_paused and self._transport is not None:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone. A loop that has found that out before the protocol was replaced tells it here."""
        if self._heir is not None:
            self._heir.connection_lost(exc)
            return
        self._feed(None)
        self._lost()

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
        if self._unread <= WINDOW // 2:
            self._resume_reading()

    def deliver(self, data: bytes) -> None:
        """Writes bytes."""
        if self._transport is None:
            # An answer to a peer whose TLS handshake takes too long.
            return
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unwritten.append(data)

    def end(self, is_abrupt: bool) -> None:
        """Ends the transport, at once or after what it holds."""
        if is_abrupt or self._transport is None:
            self.abort()
        else:
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """Ends it at once."""
        if self._transport is not None:
            self._transport.abort()
        elif self.handshake is not None:
            self.handshake.cancel()

    def pass_on(self, heir: asyncio.Protocol) -> None:
        """Gives the transport to another protocol, which hears of its end in any case. Nothing of it comes to
        the engine any more. It must be there."""
        assert self._transport is not None  # noqa: S101 - see `is_there`
        self._heir = heir
        self._transport.set_protocol(heir)
        self._resume_reading()
        heir.connection_made(self._transport)

    def _flush(self) -> None:
        """Writes what was delivered in a turn of the loop, in one piece: after several to a peer that is gone, a loop
        logs each."""
        data = b"".join(self._unwritten)
        self._unwritten.clear()
        # It is closing as soon as the peer has said that it ends.
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
        self._owed += len(data)
        if not self._is_writing_paused:
            self._grant()

    def _resume_reading(self) -> None:
        if self._is_reading_paused and self._transport is not None:
            self._is_reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _feed(self, data: bytes | None) -> None:
        names = self.names()
        if names is not None:
            with contextlib.suppress(*ENGINE_ERRORS):
                self._engine.feed(*names, data)

    def _grant(self) -> None:
        owed, self._owed = self._owed, 0
        names = self.names()
        if owed and names is not None:
            with contextlib.suppress(*ENGINE_ERRORS):
                self._engine.grant(names[0], owed)


WINDOW = 64 << 10
"""Bytes that the transport may hold, either way: enough for a full pipe, little enough that what to drop is decided
late."""
