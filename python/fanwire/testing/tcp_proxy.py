"""A TCP proxy with faults that a test switches on: late, slow, cut, silent, refusing. It knows nothing of frames.

It forwards bytes in order and once, and looks at the faults again before each send.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import socket
import struct
from collections import deque
from typing import Any, TypeVar

from fanwire.timing import clock

FIN, RST = "fin", "rst"
"""How a connection is cut. With RST, what the kernel still held for a peer that does not read is lost."""
CHUNK = 1 << 16
SLICE = 0.01
"""Seconds' worth of a bandwidth that go at once; twice as much is made up for when the loop wakes late."""
IDLE = 60.0

Entered = TypeVar("Entered", bound="TcpProxy")


@dataclasses.dataclass(frozen=True)
class LineFaults:
    """What a direction does to its bytes; at first nothing. Each read is late by `latency` and up to `jitter` seconds;
    `bandwidth` is bytes per second; `held` forwards nothing, not even an end, while both sockets stay open."""

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None
    held: bool = False
    cut_at: int | None = None
    cut_by: str = FIN


class ProxyDirection:
    """One direction of all connections, those to come included."""

    def __init__(self) -> None:
        self.faults = LineFaults()
        self.lines: list[ProxyLine] = []

    def change(self, **faults: Any) -> None:
        """Sets fields of `LineFaults`, from now on. What is on its way already keeps its latency."""
        for one in {self, *self.lines}:
            one.faults = dataclasses.replace(one.faults, **faults)
        for line in self.lines:
            line.wakeup.set()

    def cut_after(self, count: int, by: str = FIN, *, from_now: bool = False) -> None:
        """Cuts each connection once so many bytes have passed, since its start or (for those there are) from now."""
        self.change(cut_at=count, cut_by=by)
        for line in self.lines if from_now else ():
            line.faults = dataclasses.replace(line.faults, cut_at=line.passed + count)


class ProxyLine(ProxyDirection):
    """One direction of one connection. It has forwarded `passed` bytes, and holds at most the limit and one read."""

    def __init__(
        self, link: ProxyLink, source: socket.socket, sink: socket.socket, like: ProxyDirection, limit: int
    ) -> None:
        self.faults, self.lines = like.faults, [self]
        self.passed, self.done, self.wakeup = 0, False, asyncio.Event()
        self._link, self._source, self._sink, self._limit = link, source, sink, limit
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[tuple[float, memoryview | None]] = deque()
        self._size, self._due, self._free, self._ended = 0, 0.0, 0.0, False

    async def pump(self, twin: ProxyLine) -> None:
        """Forwards until both directions have ended, or the connection is cut."""
        self._loop.add_reader(self._source, self._readable)
        while self._link.fate is None and not (self.done and twin.done):
            await self._sleep(self._forward(twin))
        if self._link.fate == FIN:
            with contextlib.suppress(OSError):
                self._sink.shutdown(socket.SHUT_WR)
            self._listen()
        # A close with bytes unread would be an RST, so what still comes is read and forgotten.
        while self._link.fate == FIN and not self._ended:
            await self._sleep(IDLE)

    def arrive(self, data: bytes | None) -> None:
        """Takes what was read: bytes, none at the end, None for a reset."""
        self._ended = self._ended or not data
        if data and self is self._link.up:
            self._link.proxy.heard(self._link, data)
        if self._link.fate is None:
            late = self.faults.latency + (self._link.rng.random() * self.faults.jitter if self.faults.jitter else 0.0)
            self._due = max(self._due, clock.monotonic() + late)
            self._chunks.append((self._due, None if data is None else memoryview(data)))
            self._size += len(data or b"")
        self._listen()
        self.wakeup.set()

    def _forward(self, twin: ProxyLine) -> float:
        """Sends what may go now; returns the seconds until more may, unless something happens before."""
        self._loop.remove_writer(self._sink)
        while True:
            faults, now = self.faults, clock.monotonic()
            if faults.cut_at is not None and self.passed >= faults.cut_at:
                self._link.cut(faults.cut_by)
            if faults.held or not self._chunks or self._link.fate:
                return IDLE
            due, data = self._chunks.popleft()
            if (start := max(due, self._free if faults.bandwidth else due)) > now:
                self._chunks.appendleft((due, data))
                return start - now
            if data is None:
                self._link.cut(RST)
            elif not data:
                self.done = True
                self.wakeup.set()
                twin.wakeup.set()
                with contextlib.suppress(OSError):
                    self._sink.shutdown(socket.SHUT_WR)
            else:
                sent = self._send(data, twin)
                if sent < len(data) and not self.done:
                    self._chunks.appendleft((due, data[sent:]))
                if sent == 0:
                    return IDLE
                if faults.bandwidth:
                    self._free = max(due, self._free, now - 2 * SLICE) + sent / faults.bandwidth

    def _send(self, data: memoryview, twin: ProxyLine) -> int:
        most = len(data) if self.faults.cut_at is None else self.faults.cut_at - self.passed
        if self.faults.bandwidth:
            most = min(most, int(self.faults.bandwidth * SLICE) or 1)
        try:
            sent = self._sink.send(data[:most])
        except BlockingIOError:
            self._loop.add_writer(self._sink, self.wakeup.set)
            return 0
        except OSError:
            # Nobody takes this any more. Whether the other end hears of it is up to the other direction.
            self.done = True
            self._chunks.clear()
            twin.arrive(None)
            return 0
        self.passed += sent
        self._size -= sent
        self._listen()
        return sent

    def _listen(self) -> None:
        """Reads while there is room for it. Adding a reader twice only replaces it."""
        if self._ended or (self._link.fate is None and (self.done or self._size >= self._limit)):
            self._loop.remove_reader(self._source)
        else:
            try:
                self._loop.add_reader(self._source, self._readable)
            except RuntimeError:
                # A reset that came while nothing was read: uvloop has closed its watcher, and tells nobody.
                self.arrive(None)

    def _readable(self) -> None:
        try:
            data = self._source.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = None
        self.arrive(data)

    async def _sleep(self, seconds: float) -> None:
        timer = self._loop.call_later(seconds, self.wakeup.set)
        try:
            await self.wakeup.wait()
        finally:
            timer.cancel()
        self.wakeup.clear()


class ProxyLink:
    """A client's connection and its own to the server; `up` is from client to server."""

    def __init__(self, proxy: TcpProxy, client: socket.socket) -> None:
        self.fate: str | None = None
        self.proxy, self.rng = proxy, proxy.rng
        self._ends = client, server = client, socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for end in self._ends:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proxy.rcvbuf is not None:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, proxy.rcvbuf)
        self.up = ProxyLine(self, client, server, proxy.up, proxy.limit)
        self.down = ProxyLine(self, server, client, proxy.down, proxy.limit)

    def cut(self, by: str = FIN) -> None:
        """Ends it towards both; what is on its way is lost, and nothing is forwarded after the call."""
        self.fate = RST if RST in (by, self.fate) else FIN
        self.up.wakeup.set()
        self.down.wakeup.set()

    def answer(self, data: bytes) -> None:
        """Sends some bytes to the client in place of the server, and ends the connection."""
        with contextlib.suppress(OSError):
            self._ends[0].send(data)
        self.cut(FIN)

    async def run(self, address: tuple[str, int]) -> None:
        """Serves it to its end; `close` is still to be called."""
        try:
            await asyncio.get_running_loop().sock_connect(self._ends[1], address)
        except OSError:
            self.cut(RST)
        await asyncio.gather(self.up.pump(self.down), self.down.pump(self.up))

    def close(self) -> None:
        """Closes both sockets."""
        for end in self._ends:
            asyncio.get_running_loop().remove_reader(end)
            asyncio.get_running_loop().remove_writer(end)
            _close(end, self.fate)


class TcpProxy:
    """Listens at `port` while entered. `links` are the connections there are, in the order they came; while `refusing`
    is set, new ones get an RST. The only randomness, `jitter`, is drawn from `rng`. With a small `limit` and `rcvbuf`
    hardly anything lies between the two ends, as on a link without a proxy."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        rng: random.Random | None = None,
        limit: int = 1 << 20,
        rcvbuf: int | None = None,
    ) -> None:
        self.up, self.down, self.refusing = ProxyDirection(), ProxyDirection(), False
        self.links: list[ProxyLink] = []
        self.rng, self.limit, self.rcvbuf = rng or random.Random(0), limit, rcvbuf  # noqa: S311 - jitter
        self._address = host, port
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self, by: str = FIN) -> None:
        """Cuts all connections there are."""
        for link in self.links:
            link.cut(by)

    def heard(self, link: ProxyLink, data: bytes) -> None:
        """Is called with what a client has sent, before it is forwarded. For proxies that look at it."""

    async def __aenter__(self: Entered) -> Entered:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        if self.rcvbuf is not None:
            # What is accepted inherits it.
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.rcvbuf)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # It has gone already.
        if self.refusing:
            _close(client, RST)
            return
        link = ProxyLink(self, client)
        self.links.append(link)
        self.up.lines.append(link.up)
        self.down.lines.append(link.down)
        task = asyncio.ensure_future(link.run(self._address))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(link, task))

    def _ended(self, link: ProxyLink, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.links.remove(link)
        self.up.lines.remove(link.up)
        self.down.lines.remove(link.down)
        link.close()
        if not task.cancelled():
            task.result()


def _close(end: socket.socket, fate: str | None) -> None:
    if fate == RST:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
