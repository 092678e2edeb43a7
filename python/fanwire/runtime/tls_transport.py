"""TLS in the event loop: decrypted bytes go to the engine, and bytes of the engine are encrypted here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

from fanwire._engine import Engine
from fanwire.errors import ENGINE_ERRORS

__all__ = ["WINDOW", "Encrypted"]


class Encrypted(asyncio.Protocol):
    """The protocol of a TLS transport, between the event loop and the engine.

    Args:
        engine: reads and writes.
        names: returns the engine's ids of the connection and of this link; for a client that is not accepted yet, its
            id twice; None: the link has ended. `accepted` replaces it.
        lost: is called when the transport has ended.

    Attributes:
        handshake: the task of the TLS handshake, while it runs.
    """

    def __init__(self, engine: Engine, names: Callable[[], tuple[int, int] | None], lost: Callable[[], object]) -> None:
        self._engine = engine
        self._names = names
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

    def accepted(self, names: Callable[[], tuple[int, int] | None]) -> None:
        """The client was accepted, and the engine has other ids for it from now on."""
        self._names = names

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TLS handshake has succeeded."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WINDOW)

    def data_received(self, data: bytes) -> None:
        """Gives decrypted bytes to the engine. Pauses reading if the engine has not read `WINDOW` bytes."""
        self._feed(data)
        self._unread += len(data)
        if self._unread > WINDOW and not self._is_reading_paused and self._transport is not None:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport has ended. An event loop that finds this before the protocol is replaced calls this one, so the
        call is passed on."""
        if self._heir is not None:
            self._heir.connection_lost(exc)
            return
        self._feed(None)
        self._lost()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        """The transport's buffer has room: the engine may send more."""
        self._is_writing_paused = False
        self._grant()

    # What the engine asks for.

    def read(self, size: int) -> None:
        """The engine has read so many bytes."""
        self._unread -= size
        if self._unread <= WINDOW // 2:
            self._resume_reading()

    def deliver(self, data: bytes) -> None:
        """Writes bytes of the engine."""
        if self._transport is None:
            # An answer to a client whose TLS handshake takes too long: it cannot be encrypted.
            return
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unwritten.append(data)

    def end(self, is_abrupt: bool) -> None:
        """Ends the transport, at once or after the bytes in its buffer."""
        if is_abrupt or self._transport is None:
            self.abort()
        else:
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """Ends the transport at once."""
        if self._transport is not None:
            self._transport.abort()
        elif self.handshake is not None:
            self.handshake.cancel()

    def pass_on(self, heir: asyncio.Protocol) -> None:
        """Gives the transport to another protocol, which is told of its end in any case. The engine gets nothing more.
        The TLS handshake must have succeeded."""
        assert self._transport is not None  # noqa: S101 - see `is_there`
        self._heir = heir
        self._transport.set_protocol(heir)
        self._resume_reading()
        heir.connection_made(self._transport)

    def _flush(self) -> None:
        """Writes all bytes of one turn of the loop in one piece: the event loop logs each write to a client that has
        left."""
        data = b"".join(self._unwritten)
        self._unwritten.clear()
        # The transport is closing as soon as the client has sent its TLS close.
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
        names = self._names()
        if names is not None:
            with contextlib.suppress(*ENGINE_ERRORS):
                self._engine.feed(*names, data)

    def _grant(self) -> None:
        owed, self._owed = self._owed, 0
        names = self._names()
        if owed and names is not None:
            with contextlib.suppress(*ENGINE_ERRORS):
                self._engine.grant(names[0], owed)


WINDOW = 64 << 10
"""Bytes in the transport's buffer, in each direction: enough to keep the network busy, and so few that the engine
decides late which messages it drops."""
