"""Every limit and wait of a server, each with its default and the reason for it.

Sizes are in bytes, durations in seconds, rates per second. A rate comes with a burst: so much may come at once after a
silence. A limit marked with 0 as "none" is off at 0.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Any

import msgspec

from fanwire.protocol.table import ROOM_MAX
from fanwire.values.checks import check_flag, check_integer, check_number, check_text
from fanwire.values.encoding import NESTING_LIMIT

__all__ = ["Config"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server allows and how long it waits. All fields have defaults.

    Attributes:
        shards: Writing threads. 0: one less than the processors this process may use, at least one, at most four. More
            help only where one core cannot make the system calls for all connections.
        connection_bytes: May wait for one connection, 256 bytes of overhead per message included. Beyond it each
            message's delivery class decides. 1 MiB is some seconds of a busy room.
        engine_bytes: May wait for all connections together, a shared message counted once. Beyond it the slowest give
            way.
        replay_bytes: A session keeps of what was sent and not acknowledged, overhead included: what waits in the kernel
            on both sides, and `ack_frames` messages more. A shared message costs nothing extra while others keep it,
            too.
        history_bytes: All rooms together keep in their histories. Beyond it a room that publishes forgets its oldest
            messages.
        grace: A session waits so long for its client to come back. 30 s cover a tunnel and a change of network.
        max_parked: Sessions that wait for their clients at once; more end the one that has waited longest.
        ack_frames: Clients acknowledge after so many messages. An acknowledgement costs the server as much as 100
            deliveries, and only frees memory: a client that comes back says exactly what it has.
        ack_bytes: Or after so many bytes: a quarter of `replay_bytes`, so that what is under way fits, too.
        ack_attempts: How often a message sent with `ack=True` is sent before its sender is told that it was not
            acknowledged.
        append_timeout: Seconds for which a message waits to be stored while the backplane is away (see `Server.room`,
            `when_away`). At most 100: for 120 the backplane remembers what it has stored, so that nothing is stored
            twice.
        append_items: Messages that may wait to be stored; one more is refused as `Overloaded`.
        append_bytes: Bytes of the same.
        max_rooms: Rooms at once; about 200 bytes each. Rooms without members or values are forgotten first.
        queue_items: Publishes that may wait for one shard before `publish` raises `Overloaded`: a third of a second of
            the fastest publisher.
        queue_bytes: Bytes of the same.
        unsent_bytes: `TCP_NOTSENT_LOWAT` (tcp(7)): what the kernel may hold unsent per connection. Small, so that what
            to drop is decided late; a link of 10 Mbit/s drains it in 50 ms.
        write_timeout: `TCP_USER_TIMEOUT` (tcp(7)): a peer that acknowledges nothing, or opens no window, for so long is
            cut off.
        ping_interval: From one ping to the next, but no less than `ping_timeout`; below the 30 s after which the
            strictest proxies drop an idle connection. 0 turns pings off.
        ping_timeout: From a ping to the end of a connection that has not answered it, and from which nothing moves: see
            `min_rate`.
        min_rate: Bytes a second. A peer that moves so much, either way, is alive: a large message over a slow link
            keeps pings and their answers waiting. A message, and the body of a request, get as much more time than
            their timeouts. The worst mobile link carries some times as much; one byte a second is an attack.
        close_timeout: From the first thought of closing a connection to its end; and again, as long as the peer takes
            `min_rate` of what waits for it.
        handshake_timeout: From accepting a connection to the end of its request head, and again for `authenticate`.
        snapshot_timeout: Seconds that an asynchronous `snapshot` of a room may take. Those who wait to join are then
            answered with `overloaded`, and the call is cancelled.
        max_head: Bytes of a request head.
        max_message: Bytes of a message from a client, all fragments together; more is answered with close code 1009.
        max_nesting: Levels of lists and maps in a message, from whoever it comes: clients, `publish`, `POST
            /rooms/NAME`, other nodes. More is refused: readers have limits of their own, and a message that one of them
            cannot read is lost to it. At most 200.
        max_fragments: Fragments of one message: twice what the largest that the Autobahn suite sends has. Empty ones
            add no bytes.
        message_timeout: From the beginning of a message to its end, and a second more for each `min_rate` bytes that
            have come; then the connection is closed with 1008.
        inbound_bytes: Bytes of all unfinished messages and of all messages that wait for handlers. Beyond it an
            unfinished message is answered with 1013, and whoever has messages waiting is no longer read.
        inbox_messages: Messages of one client that may wait for the event loop, and as many for an asynchronous
            handler, before its socket is no longer read.
        inbox_bytes: Bytes of the same.
        handler_grace: Seconds that the asynchronous handlers of a connection have after its end, for what its client
            sent before. Then the one that runs is cancelled and the messages that wait are dropped. 1 s covers a query
            of a database.
        max_connection_tasks: Tasks of one connection that `Connection.spawn` runs at once; one more is an error. An
            application needs a few; a client that can have one started with each message stops here.
        backlog: Connections that the kernel may hold before they are accepted; `net.core.somaxconn` may lower it.
        max_connections: Connections at once, from their first byte on; more are answered with 503. 0: none, the
            system's limit of open files alone. 100,000 idle ones take a gigabyte.
        max_http_connections: Of those that speak plain HTTP: health checks, publishers, scrapers, and clients of an
            `app`, its WebSockets too; more are answered with 503, but health checks with their answer.
        http_reserve: Of these, kept for peers whose first request shows an API key: whoever holds all other connections
            does not keep publishers out. At most half of `max_http_connections`; without API keys nothing is kept.
        max_address_http_connections: Plain HTTP from one address, as in `max_address_connections`, without an API key;
            more are answered with 429. A browser opens six, an office a hundred. Those of `trusted_proxies` do not
            count here. 0: none.
        http_keepalive: Seconds for which a plain HTTP connection is kept after an answer: a scrape or a publish every
            10 s uses it again. The first request has `handshake_timeout`.
        http_body_timeout: For the body of a publish by HTTP, and a second more for each `min_rate` bytes that have
            come. Bodies for routes of the application have to go on within so long.
        max_user_connections: Connections of one subject, parked sessions counted; the oldest of these gives way first,
            then the answer is 429. A person has a few devices with some tabs each, an API key may serve a fleet. 0:
            none. Clients without an identity are not counted.
        max_address_connections: Connections from one address, or one /64 network of IPv6; more are answered with 429.
            An office, or a proxy that nobody has named in `trusted_proxies`, fits. 0: none.
        handshake_rate: New connections; more are answered with 503. About what one core authenticates. 0: none.
        handshake_burst: As many clients as may lose their connections together and come back at once.
        address_handshake_rate: New connections from one address, as in `max_address_connections`; more are answered
            with 429. 0: none.
        address_handshake_burst: An office that comes back at once.
        message_rate: Messages of one client. A session is told `rate_limited`, and the message is not done; a client
            without one is not read for as long. As many reports of what has come (`received`) may come besides, 100
            where this is less. 0: none.
        message_burst: Two seconds' worth: what a client sends again after it was away.
        byte_rate: Bytes of the same: at 32 Mbit/s a client is no longer interactive. 0: none.
        byte_burst: Some messages of the largest size.
        ping_rate: Pings and pongs of one client; what is more is not answered. Libraries send one in 20 s. 0: none.
        ping_burst: A library that makes up for a pause of the machine's.
        max_refused: Messages over their rate until the connection is closed with 1008; `message_rate` a second are
            forgiven, so that those who send twice as much for long are. A ping over its rate counts for ten.
        max_rooms_per_connection: Rooms that a client may be in by its own wish, not counting `Connection.join` of the
            application. 0: none.
        room_name: What a client may call a room, a regular expression for the whole name: parts with dots between, of
            letters and digits of any script (not its combining marks) and a few signs. No space, no control character,
            no wildcard, and no `$`, which other systems reserve. All names have at most 255 bytes.
        max_age: Seconds until a connection is asked to come back, a tenth more or less by chance; sessions lose nothing
            by it. 0: never. For rolling load onto new nodes, where an hour or a day is usual.
        token_notice: Seconds before an identity expires in which its client is asked for a new token; of short lives at
            most half.
        token_grace: Seconds from there to the end of the connection: for clocks that differ, and a last attempt.
        dry_run: Whether limits of clients are only counted, not enforced: for finding out what they should be. What
            protects the process itself (bytes, fragments, waits) is enforced all the same.
        drain_spread: When the server stops, sessions are told to come back at some moment within so long, so that
            whoever takes over does not get all of them at once.
        drain_timeout: What `stop` gives connections to take what waits for them and close.

    Raises:
        TypeError: a value is of the wrong type, such as "30" for a number of seconds.
        ValueError: a value is out of range; the text names the field, what it may be, and what it was.
    """

    shards: int = 0
    connection_bytes: int = 1 << 20
    engine_bytes: int = 256 << 20
    replay_bytes: int = 2 << 20
    history_bytes: int = 256 << 20
    grace: float = 30.0
    max_parked: int = 100_000
    ack_frames: int = 4096
    ack_bytes: int = 512 << 10
    ack_attempts: int = 5
    append_timeout: float = 60.0
    append_items: int = 10_000
    append_bytes: int = 64 << 20
    max_rooms: int = 100_000
    queue_items: int = 65_536
    queue_bytes: int = 64 << 20
    unsent_bytes: int = 64 << 10
    write_timeout: float = 30.0
    ping_interval: float = 25.0
    ping_timeout: float = 10.0
    min_rate: int = 1024
    close_timeout: float = 5.0
    handshake_timeout: float = 5.0
    snapshot_timeout: float = 10.0
    max_head: int = 16 << 10
    max_message: int = 1 << 20
    max_nesting: int = 64
    max_fragments: int = 131_072
    message_timeout: float = 30.0
    inbound_bytes: int = 128 << 20
    inbox_messages: int = 64
    inbox_bytes: int = 1 << 20
    handler_grace: float = 1.0
    max_connection_tasks: int = 64
    backlog: int = 4096
    max_connections: int = 100_000
    max_http_connections: int = 1_000
    http_reserve: int = 100
    max_address_http_connections: int = 100
    http_keepalive: float = 15.0
    http_body_timeout: float = 30.0
    max_user_connections: int = 1_000
    max_address_connections: int = 4_096
    handshake_rate: float = 2_000.0
    handshake_burst: int = 10_000
    address_handshake_rate: float = 200.0
    address_handshake_burst: int = 2_000
    message_rate: float = 1_000.0
    message_burst: int = 2_000
    byte_rate: float = float(4 << 20)
    byte_burst: int = 8 << 20
    ping_rate: float = 10.0
    ping_burst: int = 100
    max_refused: int = 1_000
    max_rooms_per_connection: int = 128
    room_name: str = r"[\w:/@+=~#!,'()&-]+(\.[\w:/@+=~#!,'()&-]+)*"
    max_age: float = 0.0
    token_notice: float = 60.0
    token_grace: float = 10.0
    dry_run: bool = False
    drain_spread: float = 5.0
    drain_timeout: float = 10.0

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(Config):
            name, value = f"Config.{field.name}", getattr(self, field.name)
            if field.type is bool:
                check_flag(name, value)
            elif field.type is str:
                check_text(name, value)
            elif field.type is int:
                least = int(_LEAST[field.name])
                found = check_integer(name, value, least=least, most=_MOST.get(field.name, MOST_COUNT))
                self._keep(field.name, value, found)
            else:
                least_number, most = _LEAST[field.name], _MOST.get(field.name, MOST_SECONDS)
                self._keep(field.name, value, check_number(name, value, least=least_number, most=most))
        try:
            re.compile(self.room_name)
        except re.error as error:
            raise ValueError(f"room_name is no regular expression: {error}") from error

    def _keep(self, name: str, given: Any, found: float) -> None:
        """Keeps a number as Python's own. One of numpy's would be in the way later, where settings are sent."""
        if type(given) not in (int, float):
            msgspec.structs.force_setattr(self, name, found)

    def is_room_name(self, name: str) -> bool:
        """Whether clients may call a room so, see `room_name`."""
        # A client may send some hundred of them at once: `re.fullmatch` would look for the pattern each time.
        if _pattern(self.room_name).fullmatch(name) is None:
            return False
        return (len(name) if name.isascii() else len(name.encode(errors="replace"))) <= NAME_MAX

    @property
    def shard_count(self) -> int:
        """The number of writing threads, 0 resolved."""
        return self.shards or max(1, min(4, _processors() - 1))


@lru_cache(maxsize=64)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


NAME_MAX = ROOM_MAX
"""Bytes of a room's name."""

MOST_COUNT = (1 << 53) - 1
"""The most of everything that is counted: what JSON carries exactly, and more than any machine has."""

MOST_SECONDS = 1e9
"""The most of every wait and rate: 30 years; clocks and timers of the system take it."""

_MOST: dict[str, int] = {
    "shards": 256,
    "unsent_bytes": (1 << 31) - 1,
    "backlog": (1 << 31) - 1,
    "max_fragments": (1 << 31) - 1,
    "ack_attempts": 1_000,
    "write_timeout": 4_000_000,
    "append_timeout": 100,
    "max_nesting": NESTING_LIMIT,
}
"""Where the kernel, or good sense, allows less."""

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
    "append_timeout": 0.01,
    "append_items": 1,
    "append_bytes": 4096,
    "max_rooms": 1,
    "queue_items": 1,
    "queue_bytes": 4096,
    "unsent_bytes": 4096,
    "write_timeout": 0.1,
    "ping_interval": 0,
    "ping_timeout": 0.01,
    "close_timeout": 0.01,
    "min_rate": 1,
    "handshake_timeout": 0.01,
    "snapshot_timeout": 0.01,
    "max_head": 1024,
    "max_message": 1,
    "max_nesting": 1,
    "max_fragments": 1,
    "message_timeout": 0.01,
    "inbound_bytes": 4096,
    "max_connections": 0,
    "max_http_connections": 1,
    "http_reserve": 0,
    "max_address_http_connections": 0,
    "http_keepalive": 0.01,
    "http_body_timeout": 0.01,
    "max_user_connections": 0,
    "max_address_connections": 0,
    "handshake_rate": 0,
    "handshake_burst": 1,
    "address_handshake_rate": 0,
    "address_handshake_burst": 1,
    "message_rate": 0,
    "message_burst": 1,
    "byte_rate": 0,
    "byte_burst": 1,
    "ping_rate": 0,
    "ping_burst": 1,
    "max_refused": 1,
    "max_rooms_per_connection": 0,
    "max_age": 0,
    "token_notice": 0,
    "token_grace": 0,
    "inbox_messages": 1,
    "inbox_bytes": 1,
    "handler_grace": 0,
    "max_connection_tasks": 1,
    "backlog": 1,
    "drain_spread": 0,
    "drain_timeout": 0,
}


def _processors() -> int:
    # What this process may use, where the system can tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
