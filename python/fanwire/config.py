"""Every limit and wait of a server, each with its default and the reason for it.

Sizes are in bytes, durations in seconds.
"""

from __future__ import annotations

import os

import msgspec

__all__ = ["Config"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server allows and how long it waits. All fields have defaults.

    Raises:
        ValueError: a value is out of range; the text names the field and what it may be.
    """

    shards: int = 0
    """Writing threads. 0: one less than the processors this process may use, at least one, at most four. More
    help only where one core cannot make the system calls for all connections."""

    connection_bytes: int = 1 << 20
    """May wait for one connection, 256 bytes of overhead per message included. Beyond it each message's delivery
    class decides. 1 MiB is some seconds of a busy room."""

    engine_bytes: int = 256 << 20
    """May wait for all connections together, a shared message counted once. Beyond it the slowest give way."""

    replay_bytes: int = 2 << 20
    """A session keeps of what was sent and not acknowledged, overhead included: what waits in the kernel on both
    sides, and `ack_frames` messages more. A shared message costs nothing extra while others keep it, too."""

    history_bytes: int = 256 << 20
    """All rooms together keep in their histories. Beyond it a room that publishes forgets its oldest messages."""

    grace: float = 30.0
    """A session waits so long for its client to come back. 30 s cover a tunnel and a change of network."""

    max_parked: int = 100_000
    """Sessions that wait for their clients at once; more end the one that has waited longest."""

    ack_frames: int = 4096
    """Clients acknowledge after so many messages. An acknowledgement costs the server as much as 100 deliveries, and
    only frees memory: a client that comes back says exactly what it has."""

    ack_bytes: int = 512 << 10
    """Or after so many bytes: a quarter of `replay_bytes`, so that what is under way fits, too."""

    ack_attempts: int = 5
    """How often a message sent with `ack=True` is sent before its sender is told that it was not acknowledged."""

    max_rooms: int = 100_000
    """Rooms at once; about 200 bytes each. Rooms without members or values are forgotten first."""

    queue_items: int = 65_536
    """Publishes that may wait for one shard before `publish` raises `Overloaded`: a third of a second of the
    fastest publisher."""

    queue_bytes: int = 64 << 20
    """Bytes of the same."""

    unsent_bytes: int = 64 << 10
    """`TCP_NOTSENT_LOWAT` (tcp(7)): what the kernel may hold unsent per connection. Small, so that what to drop is
    decided late; a link of 10 Mbit/s drains it in 50 ms."""

    write_timeout: float = 30.0
    """`TCP_USER_TIMEOUT` (tcp(7)): a peer that acknowledges nothing, or opens no window, for so long is cut off."""

    ping_interval: float = 25.0
    """From one ping to the next, below the 30 s after which the strictest proxies drop an idle connection.
    0 turns pings off."""

    ping_timeout: float = 10.0
    """From a ping to the end of a connection that has not answered it."""

    close_timeout: float = 5.0
    """From the first thought of closing a connection to its end, however its peer behaves."""

    handshake_timeout: float = 5.0
    """From accepting a connection to the end of its request head, and again for `authenticate`."""

    max_head: int = 16 << 10
    """Bytes of a request head."""

    max_message: int = 1 << 20
    """Bytes of a message from a client, all fragments together; more is answered with close code 1009."""

    inbox_messages: int = 64
    """Messages of one client that may wait for an asynchronous handler before its socket is no longer read."""

    inbox_bytes: int = 1 << 20
    """Bytes of the same."""

    read_buffer: int = 2048
    """Bytes of a connection's first read buffer, the least that picows takes. It grows with its messages."""

    backlog: int = 4096
    """Connections that the kernel may hold before they are accepted; `net.core.somaxconn` may lower it."""

    drain_spread: float = 5.0
    """When the server stops, sessions are told to come back at some moment within so long, so that whoever takes over
    does not get all of them at once."""

    drain_timeout: float = 10.0
    """What `stop` gives connections to take what waits for them and close."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")

    @property
    def shard_count(self) -> int:
        """The number of writing threads, 0 resolved."""
        return self.shards or max(1, min(4, _processors() - 1))


_LEAST: dict[str, float] = {
    "shards": 0,
    "connection_bytes": 4096,
    "engine_bytes": 1 << 20,
    "replay_bytes": 0,
    "history_bytes": 0,
    "grace": 0,
    "max_parked": 0,
    "ack_frames": 1,
    "ack_bytes": 1,
    "ack_attempts": 1,
    "max_rooms": 1,
    "queue_items": 1,
    "queue_bytes": 4096,
    "unsent_bytes": 4096,
    "write_timeout": 0.1,
    "ping_interval": 0,
    "ping_timeout": 0.01,
    "close_timeout": 0.01,
    "handshake_timeout": 0.01,
    "max_head": 1024,
    "max_message": 1,
    "inbox_messages": 1,
    "inbox_bytes": 1,
    "read_buffer": 2048,
    "backlog": 1,
    "drain_spread": 0,
    "drain_timeout": 0,
}


def _processors() -> int:
    # What this process may use, where the system can tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
