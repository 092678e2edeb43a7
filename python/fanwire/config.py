"""Every limit and timeout of a server, each with its default and the reason for it.

Sizes are in bytes, durations in seconds, rates per second. Each rate has a burst: the number that may come at once
after a pause. Where the text says "0: no limit", the value 0 turns the limit off.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from fanwire.protocol.table import ROOM_MAX
from fanwire.values.checks import check_flag, check_integer, check_number, check_text, described
from fanwire.values.encoding import NESTING_LIMIT
from fanwire.values.processors import parse_cores, processors

__all__ = ["Config", "range_of"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits and timeouts of a server. Every field has a default, and an instance cannot be changed.

    Example::

        server = fanwire.Server(insecure=True, config=fanwire.Config(max_connections=10_000, grace=60.0))

    Attributes:
        shards: Number of writing threads. 0: one less than the processors that this process may use, from one to four.
            More threads help only where one core cannot make the system calls for all connections.
        shard_spin: Seconds for which a writing thread without work looks for more before it sleeps, so that nobody has
            to wake it. It takes a whole core meanwhile, so leave one for the event loop (docs/fairness.md). 0: it
            sleeps at once.
        shard_cores: Processors of the writing threads, one for each, as in "2,3" or "2-3". "": the system chooses. With
            it, `shards` may be left at 0.
        connection_bytes: Bytes that may wait for one connection, with 256 bytes of overhead per message. Above it the
            delivery class of each message decides. 1 MiB is some seconds of a busy room.
        engine_bytes: Bytes that may wait for all connections together; a shared message counts once. Above it the
            slowest connections lose messages or are closed.
        replay_bytes: Bytes of messages that a session keeps until the client has acknowledged them, with overhead. The
            default covers the kernel's buffers on both sides and `ack_frames` messages more. A message that several
            connections keep is stored once.
        history_bytes: Bytes that the histories of all rooms may have together. Above it a room that publishes forgets
            its oldest messages.
        grace: Seconds for which a session waits for its client to come back. 30 s cover a tunnel and a change of
            network.
        max_parked: Sessions that may wait for their clients at the same time. Above it the session that has waited
            longest ends.
        ack_frames: Messages after which a client must acknowledge. An acknowledgement costs the server as much as 100
            deliveries and only frees memory: a client that comes back reports exactly what it has.
        ack_bytes: Bytes after which a client must acknowledge. The default is a quarter of `replay_bytes`, which leaves
            space for the messages under way. Over fallback transports half as many again, because there each
            acknowledgement is a request.
        ack_attempts: How often a message sent with `ack=True` is sent before the sender gets `asyncio.TimeoutError`.
        append_timeout: Seconds for which a message waits to be stored while the backplane is away (see `Server.room`,
            `when_away`). At most 100, because the backplane recognizes a repeated message for 120 s only.
        append_items: Messages that may wait to be stored. Above it `publish` raises `Overloaded`.
        append_bytes: Bytes of the messages that may wait to be stored.
        max_rooms: Rooms that may exist at the same time, about 200 bytes each. Rooms without members or values are
            removed first.
        queue_items: Publishes that may wait for one shard; then `publish` raises `Overloaded`. The default is a third
            of a second of the fastest publisher.
        queue_bytes: Bytes of the publishes that may wait for one shard.
        unsent_bytes: Bytes that the kernel may hold unsent for one connection (`TCP_NOTSENT_LOWAT`, tcp(7)). It is
            small, because messages in the kernel cannot be dropped or replaced. A link of 10 Mbit/s sends it in 50 ms.
        write_timeout: Seconds after which a peer that acknowledges nothing, or opens no window, is disconnected
            (`TCP_USER_TIMEOUT`, tcp(7)).
        ping_interval: Seconds between two pings, but never less than `ping_timeout`. The default is below the 30 s
            after which the strictest proxies close an idle connection. 0: no pings.
        ping_timeout: Seconds from a ping to the end of a connection that has not answered and on which no data moves
            (see `min_rate`).
        min_rate: Bytes a second, in either direction, that prove a peer to be alive: a large message on a slow link
            delays pings and pongs. The timeouts of messages and of request bodies grow at this rate, too. The slowest
            mobile link is several times faster; a peer that sends one byte a second is an attacker.
        close_timeout: Seconds from the decision to close a connection to its end. It starts again as long as the peer
            takes at least `min_rate` bytes a second of the waiting messages.
        handshake_timeout: Seconds from accepting a connection to the end of its request head, and again for
            `authenticate`. With TLS they begin after the TLS handshake, which has `TLS.handshake_timeout`.
        snapshot_timeout: Seconds for an asynchronous `snapshot` of a room. Then the call is cancelled, and the
            waiting clients get the error `overloaded` instead of joining.
        compression_level: How hard messages of rooms with `compress` are compressed, 1 (fast) to 9 (small). See
            docs/compression.md for what each costs and brings.
        compression_min_bytes: Bytes from which a message is compressed. A smaller one hardly becomes smaller.
        max_head: Bytes of a request head. A larger head is answered with 431.
        max_message: Bytes of a client's message, all fragments together. A larger message is answered with close code
            1009.
        max_nesting: Levels of lists and maps in a message from any source: clients, `publish`, `POST /rooms/NAME`,
            other nodes. A deeper message is refused, because clients with their own limits could not read it. At
            most 200.
        max_fragments: Fragments of one message; empty fragments add no bytes. The default is twice the largest number
            in the Autobahn suite.
        message_timeout: Seconds from the beginning of a message to its end, and one second more for each `min_rate`
            bytes received. Then the connection is closed with 1008.
        inbound_bytes: Bytes of all unfinished messages and of all messages that wait for handlers. Above it an
            unfinished message is answered with close code 1013, and clients with waiting messages are not read. The
            bodies of POSTs to links may have as many again; above it those over 4 KiB are answered with 503.
        inbox_messages: Messages of one client that may wait for the event loop, and again as many for an asynchronous
            handler. Then its socket is not read.
        inbox_bytes: Bytes of the messages of one client that may wait, counted like `inbox_messages`.
        handler_grace: Seconds after the end of a connection for its asynchronous handlers to finish what the client
            sent before. Then the running handler is cancelled and the waiting messages are dropped. 1 s is enough for a
            query of a database.
        max_connection_tasks: Tasks that `Connection.spawn` may run for one connection at the same time; then it raises
            `RuntimeError`. An application needs a few. The limit stops a client that can start one with each message.
        backlog: Connections that the kernel may queue before they are accepted; `net.core.somaxconn` may lower it.
        max_connections: Connections at the same time, counted from accept. More are answered with 503. 100,000 idle
            connections take 250 MB (raw, 2.5 KB each) to 400 MB (sessions, 4 KB each). If the limit of
            open files allows fewer, further ones are answered with 503. 0: that limit alone.
        max_http_connections: Connections that speak plain HTTP: health checks, publishers, scrapers, and the clients of
            an `app`, its WebSockets included. More are answered with 503; health checks get their answer.
        http_reserve: Of `max_http_connections`, the number kept for peers whose first request shows an API key, so that
            other clients cannot shut publishers out. At most half of `max_http_connections`; 0 without API keys.
        max_address_http_connections: Plain HTTP connections without an API key from one address, as in
            `max_address_connections`. More are answered with 429. A browser opens six, an office a hundred. Connections
            of `trusted_proxies` are not counted. 0: no limit.
        http_keepalive: Seconds for which a plain HTTP connection stays open after an answer. The default lets a scrape
            or a publish every 10 s reuse it. The first request has `handshake_timeout`.
        http_body_timeout: Seconds for the body of a publish, or of messages of a client, by HTTP, and one second more
            for each `min_rate` bytes received. The body of a request to the application must not pause for longer.
        poll_timeout: Seconds for which a poll of the transport long-poll waits for a message; then its answer is empty
            and the client polls again. The default is below the 30 s after which the strictest proxies give up.
        max_user_connections: Connections of one subject, waiting sessions included. Above it the oldest waiting session
            ends; if there is none, the answer is 429. A person has a few devices with some tabs each, an API key may
            serve many machines. Clients without an identity are not counted. 0: no limit.
        max_address_connections: Connections from one IPv4 address or one IPv6 /64 network. More are answered with 429.
            The default is enough for an office, and for a proxy that is missing in `trusted_proxies`. 0: no limit.
        handshake_rate: New connections a second. More are answered with 503. With a JWT (HS256), 2,000 a second take
            about a fifth of a core (94 µs each), and about one core on a machine five times slower. 0: no limit.
        handshake_burst: New connections at once. The default lets 10,000 clients reconnect at once, after they
            have lost their connections together.
        address_handshake_rate: New connections a second from one address, as in `max_address_connections`. More are
            answered with 429. 0: no limit.
        address_handshake_burst: New connections at once from one address, such as an office that reconnects.
        message_rate: Messages a second of one client. Above it a session gets the error `rate_limited` and the message
            is not handled; a client without a session is not read for that time. Reports (`received`) have a limit of
            their own, as high as this one and at least 100. 0: no limit.
        message_burst: Messages of one client at once. The default is `message_rate` for two seconds, for messages that
            a client sends again after a reconnect.
        byte_rate: Bytes a second of the messages of one client. A client above the default, 32 Mbit/s, is no longer
            interactive. 0: no limit.
        byte_burst: Bytes of the messages of one client at once. The default is eight of the largest messages.
        ping_rate: Pings and pongs a second of one client. More are not answered. Libraries send one in 20 s. 0: no
            limit.
        ping_burst: Pings and pongs of one client at once: after a pause of its machine, a library may send all
            pings that were due.
        max_refused: Messages over their rate until the connection is closed with 1008; a ping over its rate counts for
            ten. The count falls by `message_rate` each second, so a client may send at twice the rate for a long
            time.
        max_rooms_per_connection: Rooms that a client may join by itself. `Connection.join` of the application does not
            count. 0: no limit.
        room_name: Regular expression that the whole name of a room must match if a client gives it. The default allows
            parts with dots between them, of letters and digits of any script (without combining marks) and a few signs.
            It allows no space, no control character, no wildcard, and no `$`, which other systems reserve. Every name
            has at most 255 bytes.
        max_age: Seconds until a connection is asked to reconnect, changed by up to a tenth at random; a session loses
            nothing. It moves load to new nodes; an hour or a day is usual. 0: never.
        token_notice: Seconds before the end of an identity at which its client is asked for a new token; at most half
            of the identity's life.
        token_grace: Seconds from the end of an identity to the end of its connection. They allow for clocks that differ
            and for one more attempt.
        dry_run: True: limits of clients are only counted and not enforced, to find good values for them. Limits
            that protect the process (bytes, fragments, timeouts) are enforced anyway.
        drain_spread: Seconds over which a stopping server tells its sessions to reconnect, so that they do not all
            reach the next node at once.
        drain_timeout: Seconds that `Server.stop` waits for connections to take their messages and close.

    Raises:
        TypeError: a value is of the wrong type, such as "30" for a number of seconds.
        ValueError: a value is out of range. The text names the field, the range and the value: `Config.grace must be at
            least 0, got -1`.
    """

    shards: int = 0
    shard_spin: float = 0.0
    shard_cores: str = ""
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
    compression_level: int = 6
    compression_min_bytes: int = 256
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
    poll_timeout: float = 25.0
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
                check_text(name, value, empty=field.name in _EMPTY)
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
            raise ValueError(
                f"Config.room_name must be a regular expression, got {described(self.room_name)}: {error}"
            ) from error

        cores = self.cores
        if cores and self.shards not in (0, len(cores)):
            raise ValueError(
                f"Config.shard_cores must name one processor for each of the {self.shards} shards, got "
                f"{self.shard_cores!r}: {len(cores)}"
            )

    def _keep(self, name: str, given: Any, found: float) -> None:
        """Stores a number as Python's own type: msgpack and the engine do not take those of numpy."""
        if type(given) not in (int, float):
            msgspec.structs.force_setattr(self, name, found)

    def is_room_name(self, name: str) -> bool:
        """Whether a client may use this name for a room (`room_name`, and at most 255 bytes)."""
        # A client may send hundreds of names at once, and `re.fullmatch` would look up the pattern each time.
        if _pattern(self.room_name).fullmatch(name) is None:
            return False
        return (len(name) if name.isascii() else len(name.encode(errors="replace"))) <= NAME_MAX

    @property
    def shard_count(self) -> int:
        """The number of writing threads, with 0 resolved."""
        return self.shards or len(self.cores) or max(1, min(4, processors() - 1))

    @property
    def cores(self) -> list[int]:
        """The processors of `shard_cores`."""
        return parse_cores("Config.shard_cores", self.shard_cores, _MOST["shards"])


@lru_cache(maxsize=64)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


NAME_MAX = ROOM_MAX
"""Bytes of the name of a room."""

MOST_COUNT = (1 << 53) - 1
"""The largest value of every count: JSON carries it exactly, and no machine has more."""

MOST_SECONDS = 1e9
"""The largest value of every duration and rate: 30 years, which the clocks and timers of the system can hold."""

_EMPTY = ("shard_cores",)
"""Texts that may be empty."""

_MOST: dict[str, int] = {
    "shards": 256,
    "shard_spin": 3_600,
    "unsent_bytes": (1 << 31) - 1,
    "backlog": (1 << 31) - 1,
    "max_fragments": (1 << 31) - 1,
    "ack_attempts": 1_000,
    "write_timeout": 4_000_000,
    "append_timeout": 100,
    "max_nesting": NESTING_LIMIT,
    "compression_level": 9,
}
"""Largest values below `MOST_COUNT` and `MOST_SECONDS`: the limits of the kernel, and of useful values."""

_LEAST: dict[str, float] = {
    "shards": 0,
    "shard_spin": 0,
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
    "compression_level": 1,
    "compression_min_bytes": 0,
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
    "poll_timeout": 0.01,
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


def range_of(field: str) -> tuple[float, float]:
    """The smallest and the largest value of a number of `Config`, as its errors say."""
    is_whole = isinstance(getattr(Config(), field), int)
    return _LEAST[field], _MOST.get(field, MOST_COUNT if is_whole else MOST_SECONDS)
