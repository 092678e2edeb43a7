"""The transport of a connection that speaks HTTP, as uvicorn's protocols get it: it ends peers that do not take what is
sent to them, and it is not closed so early that a peer loses its answer.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Any

__all__ = ["HttpTransport"]


class HttpTransport:
    """Has those methods of `asyncio.Transport` that uvicorn uses.

    Args:
        transport: the loop's.
        write_timeout: seconds for which a peer may take nothing of what waits for it.
        has_read: whether all was read that the peer has sent as far as is known.

    Attributes:
        is_over: whether it was closed. Nothing is written any more, and what still comes is to be thrown away.
    """

    def __init__(self, transport: asyncio.Transport, write_timeout: float, has_read: Callable[[], bool]) -> None:
        self._transport = transport
        self._write_timeout = write_timeout
        self._has_read = has_read
        self.is_over = False
        self._unwritten: list[bytes] = []
        self._unsent = 0
        self._writing: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._room: select.poll | None = None

    # What uvicorn calls.

    def write(self, data: bytes) -> None:
        """Writes, as long as it is not closed. A head waits for the beginning of its body: one system call less."""
        if self.is_closing():
            return
        if len(data) > LARGE:
            self.flush()
            self._transport.write(data)
            return
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self.flush)
        self._unwritten.append(data)

    def close(self) -> None:
        """Closes after what was written. A peer that is still sending is read for a moment longer: it would get a reset
        instead of the answer (RFC 9112 section 9.6)."""
        if self.is_over:
            return
        self.flush()
        self.is_over = True
        if self._transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        if self._has_read():
            self._transport.close()
            self._ending = loop.call_later(self._write_timeout, self._transport.abort)
        else:
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._transport.resume_reading()
            self._ending = loop.call_later(LINGER, self._end)

    def is_closing(self) -> bool:
        """Whether it was closed, or is lost."""
        return self.is_over or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Lets the kernel keep what comes."""
        if not self.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Reads again."""
        if not self.is_closing():
            self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio.BaseTransport`."""
        return self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio.BaseTransport`."""
        self._transport.set_protocol(protocol)

    # What the protocol tells.

    def pause_writing(self) -> None:
        """The peer is slow to read."""
        self._unsent = self._transport.get_write_buffer_size()
        self._writing = asyncio.get_running_loop().call_later(self._write_timeout, self._look)

    def resume_writing(self) -> None:
        """It has taken most of it."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def flush(self) -> None:
        """Gives the transport what was written."""
        if self._unwritten:
            data = b"".join(self._unwritten)
            self._unwritten.clear()
            # A loop logs what is written to one that is lost.
            if not self._transport.is_closing():
                self._transport.write(data)

    def is_sent(self, again: Callable[[], object]) -> bool:
        """Whether the kernel has all that was written, and room for an answer more. If it has not, the protocol's
        `resume_writing` or `again` is called when it is worth asking again."""
        if self._transport.get_write_buffer_size():
            # The protocol is told once it is empty, and the peer is ended if it takes nothing.
            self._transport.set_write_buffer_limits(high=0)
            return False
        if self._room is None:
            self._room = select.poll()
            self._room.register(self._transport.get_extra_info("socket").fileno(), select.POLLOUT)
        if self._room.poll(0):
            return True
        loop = asyncio.get_running_loop()
        if self._ending is None:
            self._ending = loop.call_later(self._write_timeout, self.abort)
        loop.call_later(LOOK, again)
        return False

    def lost(self) -> None:
        """The transport is gone."""
        self.is_over = True
        self._unwritten.clear()
        self.resume_writing()
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def abort(self) -> None:
        """Ends it at once."""
        self.is_over = True
        self._unwritten.clear()
        self._transport.abort()

    def _look(self) -> None:
        unsent = self._transport.get_write_buffer_size()
        if unsent >= self._unsent:
            self.abort()
        else:
            self.pause_writing()

    def _end(self) -> None:
        self._transport.close()
        # What is left of the answer is not taken by one who does not read.
        self._ending = asyncio.get_running_loop().call_later(self._write_timeout, self._transport.abort)


LARGE = 16 << 10
"""Bytes that are not copied to be one with others."""

LOOK = 0.02
"""Seconds between two looks at whether the kernel has room."""

LINGER = 2.0
"""Seconds for which is read what the peer still sends, so that it sees its answer."""
