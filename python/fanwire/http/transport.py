"""The transport that uvicorn's protocols get for a connection. It closes peers that do not read their answers, and
closes late enough that a peer can read its answer."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Any

__all__ = ["HttpTransport"]


class HttpTransport:
    """Wraps the loop's transport, with the methods of `asyncio.Transport` that uvicorn uses.

    Args:
        transport: the loop's transport.
        write_timeout: seconds after which a peer that takes none of the waiting bytes is cut off.
        has_read: whether all bytes that the peer has sent were read, as far as is known.

    Attributes:
        is_over: whether it was closed: nothing more is written, and received bytes are dropped.
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
        """Writes, unless it is closed. Small writes of one turn of the loop are joined: a head and its body need one
        system call."""
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
        """Closes after the written bytes are sent. If the peer is still sending, its bytes are read and dropped for
        LINGER seconds: closing at once would reset the connection, and the peer would lose its answer (RFC 9112 section
        9.6)."""
        if self.is_over:
            return
        self.flush()
        self.is_over = True
        if self._transport.is_closing():
            return
        if self._has_read():
            self._end()
        else:
            try:
                if self._transport.can_write_eof():
                    self._transport.write_eof()
            except OSError:
                # The peer has gone already.
                self._transport.abort()
                return
            self._transport.resume_reading()
            self._ending = asyncio.get_running_loop().call_later(LINGER, self._end)

    def is_closing(self) -> bool:
        """Whether it was closed or the connection was lost."""
        return self.is_over or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Stops reading; the kernel keeps what comes."""
        if not self.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Starts reading again."""
        if not self.is_closing():
            self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Returns information about the loop's transport, as `asyncio.BaseTransport` does."""
        return self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Sets the protocol of the loop's transport, as `asyncio.BaseTransport` does."""
        self._transport.set_protocol(protocol)

    # What the protocol calls.

    def pause_writing(self) -> None:
        """The buffer is full: starts the timer for a peer that does not read."""
        self._unsent = self._transport.get_write_buffer_size()
        self._writing = asyncio.get_running_loop().call_later(self._write_timeout, self._look)

    def resume_writing(self) -> None:
        """The buffer has emptied: stops the timer."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def flush(self) -> None:
        """Passes the joined writes to the loop's transport."""
        if self._unwritten:
            data = b"".join(self._unwritten)
            self._unwritten.clear()
            # The loop logs a warning for writes to a lost transport.
            if not self._transport.is_closing():
                self._transport.write(data)

    def is_sent(self, again: Callable[[], object]) -> bool:
        """Whether the kernel has all written bytes and space for one more answer. If not, `resume_writing` of the
        protocol, or `again`, is called when it is worth asking again."""
        if self._transport.get_write_buffer_size():
            # The protocol's `resume_writing` is called when the buffer is empty; a peer that takes nothing is cut off.
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
        """Stops all timers: the connection is lost."""
        self.is_over = True
        self._unwritten.clear()
        self.resume_writing()
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def abort(self) -> None:
        """Closes at once, without sending what waits."""
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
        self._look_at_rest(None)

    def _look_at_rest(self, before: int | None) -> None:
        # A peer that takes nothing of what is left is cut off, and one that is slow is not.
        unsent = self._transport.get_write_buffer_size()
        if before is not None and unsent >= before:
            self._transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._ending = loop.call_later(self._write_timeout, self._look_at_rest, unsent)


LARGE = 16 << 10
"""Writes of more bytes are not joined with others, which would copy them."""

LOOK = 0.02
"""Seconds between two checks whether the kernel has space."""

LINGER = 2.0
"""Seconds for which the bytes of a closed peer are still read, so that it can read its answer."""
