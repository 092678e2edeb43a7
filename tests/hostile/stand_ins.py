"""Stand-ins for a loop, a transport and a protocol."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast


class Loop(asyncio.SelectorEventLoop):
    """One whose timers run when told to, so that a million of them are no heap."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[asyncio.TimerHandle] = []

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self.time() + delay, callback, args, self, context)
        self.timers.append(timer)
        return timer

    def fire(self) -> None:
        """Makes all calls that were not cancelled, the earliest first."""
        timers, self.timers = sorted(self.timers), []
        for timer in timers:
            if not timer.cancelled():
                timer._run()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        # None is in the loop's own heap.
        pass


WRITABLE = socket.socketpair()
"""Of a transport that has sent all there was."""


class Transport(asyncio.Transport):
    """Keeps what is written, and reads when it may."""

    def __init__(self, peer: str) -> None:
        super().__init__()
        self.written = b""
        self.is_paused = False
        self.unread = b""
        self._peer = peer
        self._protocol: asyncio.BaseProtocol
        self._is_closing = False

    def arrive(self, data: bytes) -> None:
        """The peer's bytes."""
        if self._is_closing:
            return
        if self.is_paused:
            self.unread += data
        else:
            cast("asyncio.Protocol", self._protocol).data_received(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": (self._peer, 4711), "socket": WRITABLE[0]}.get(name, default)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def write(self, data: Any) -> None:
        assert not self._is_closing, "written after the end"
        self.written += data

    def close(self) -> None:
        self._is_closing = True

    abort = close
    # Whoever is refused has only to take the answer and to end.
    write_eof = close

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


class Http(asyncio.Protocol):
    """Stands for the HTTP server."""

    def __init__(self) -> None:
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        self.heard += data
