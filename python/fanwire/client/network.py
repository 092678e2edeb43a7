"""What the kernel knows about a connection: how much has come, and how much of the sent bytes the other end has."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
from typing import NamedTuple

__all__ = ["Network", "network_of"]


class Network(NamedTuple):
    """A connection at one moment, in bytes since it began.

    Attributes:
        received: bytes that have come, whether they were read or not.
        acked: bytes of what was sent that the other end's kernel has acknowledged.
        queued: bytes that were given to the connection and that it has not.
        unread: bytes that have come and that were not read yet.
    """

    received: int
    acked: int
    queued: int
    unread: int = 0


def network_of(sock: socket.socket, unwritten: int) -> Network | None:
    """Asks the kernel; None where it cannot tell: only Linux does.

    Args:
        sock: a TCP socket.
        unwritten: bytes that wait in the process to be written to it.
    """
    if sys.platform != "linux":
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RECEIVED_END)
        # SIOCOUTQ and SIOCINQ of tcp(7) have the numbers of TIOCOUTQ and FIONREAD.
        (unacked,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))
        (unread,) = struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))
        acked, received = struct.unpack_from("=QQ", info, ACKED)
    except (OSError, ValueError, struct.error):
        # It is closed, or not TCP.
        return None
    return Network(received, acked, unacked + unwritten, unread)


ACKED = 120
"""Where `tcpi_bytes_acked` is in `struct tcp_info` of linux/tcp.h; `tcpi_bytes_received` follows it."""
RECEIVED_END = ACKED + 16
