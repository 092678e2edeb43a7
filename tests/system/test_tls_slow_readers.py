"""What a reader over TLS that has stopped costs: the kernel holds no more of it than without TLS, and it ends."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import stat
import struct
import sys
from pathlib import Path

import pytest
from helpers.serving import Book
from helpers.wait import until
from helpers.wire import Peer

import fanwire

Tls = tuple[fanwire.TLS, ssl.SSLContext]

OVER = pytest.mark.parametrize("over", ["plain", "tls"])


def servers_socket(peer: Peer) -> socket.socket:
    """The server's end of a connection: the engine has it in this process."""
    here = peer.writer.get_extra_info("sockname")
    for path in Path("/proc/self/fd").iterdir():
        number = int(path.name)
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            found = socket.socket(fileno=os.dup(number))
        except OSError:
            # It is closed by now, like the one of the folder itself.
            continue
        with contextlib.suppress(OSError):
            if found.family == socket.AF_INET and found.getpeername() == here:
                return found
        found.close()
    raise AssertionError("there is no such socket")


def kernel_bytes(sock: socket.socket) -> int:
    """The memory of the kernel for what waits to be sent (`sk_wmem_queued` of SO_MEMINFO, linux/sock_diag.h)."""
    words = struct.unpack("9I", sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
    return int(words[WMEM_QUEUED])


SO_MEMINFO, WMEM_QUEUED = 55, 5


async def pinned(server: Book, context: ssl.SSLContext | None) -> int:
    """What the kernel holds of a reader that has stopped, while the server has more for it."""
    async with server, await server.peer("/a", rcvbuf=4096, context=context) as peer:
        peer.stall()
        with servers_socket(peer) as sock:
            readings: list[int] = []

            def is_enough() -> bool:
                server.publish("a", bytes(4096))
                # A client has buffers, too.
                if server.stats()["waiting_bytes"] > 0:
                    readings.append(kernel_bytes(sock))
                return len(readings) == 50

            await until(is_enough, "the kernel takes no more")
        return max(readings)


@pytest.mark.skipif(sys.platform != "linux", reason="SO_MEMINFO is Linux's")
@pytest.mark.parametrize("unsent", [4096, 64 << 10])
async def test_the_kernel_holds_no_more_than_without_tls(tls: Tls, unsent: int) -> None:
    config = {"unsent_bytes": unsent, "connection_bytes": 64 << 20}
    plain = await pinned(Book(config), None)
    encrypted = await pinned(Book(config, tls=tls[0]), tls[1])
    # A record more at most, and a fourth for how the kernel cuts it.
    assert encrypted <= 1.25 * plain + (32 << 10), (encrypted, plain)


@OVER
async def test_a_reader_that_takes_nothing_is_cut_off_by_write_timeout(tls: Tls, over: str) -> None:
    server = Book({"write_timeout": 0.5, "connection_bytes": 64 << 20}, tls=tls[0] if over == "tls" else None)
    async with server, await server.peer("/a", rcvbuf=4096, context=tls[1] if over == "tls" else None) as peer:
        peer.stall()

        def more() -> bool:
            server.publish("a", bytes(100_000))
            return bool(server.closed)

        await until(more)
        assert server.closed[0].close_code == 1006
        await until(lambda: server.stats()["waiting_bytes"] == 0)
