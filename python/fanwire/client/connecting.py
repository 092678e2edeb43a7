"""Makes a client from what an application says of its connection."""

from __future__ import annotations

import ssl as tls
from collections.abc import Mapping, Sequence

from fanwire.client.chooser import TRANSPORTS
from fanwire.client.client import Client
from fanwire.client.message_queue import MAX_MESSAGES
from fanwire.client.options import Options
from fanwire.client.token_source import Token

__all__ = ["connect"]

MAX_DELAY = 60.0
"""Seconds between two attempts: long enough that clients without a server cost their network nothing."""
OPEN_TIMEOUT = 10.0
"""Seconds for the upgrade, and for the token before it."""
CLOSE_TIMEOUT = 5.0
"""Seconds for the server's side of the closing handshake."""


def connect(
    url: str,
    *,
    token: Token | None = None,
    encoding: str = "json",
    max_attempts: int | None = 20,
    first_attempts: int | None = None,
    max_delay: float = MAX_DELAY,
    heartbeat: float | None = None,
    ssl: tls.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    max_queue: int = MAX_MESSAGES,
    open_timeout: float = OPEN_TIMEOUT,
    close_timeout: float = CLOSE_TIMEOUT,
    transports: Sequence[str] = TRANSPORTS,
    compression: str | None = None,
) -> Client:
    """Makes a client. It connects when it is entered (`async with`).

    When the connection is lost the client reconnects by itself, joins its rooms again and continues where it was.

    Example::

        async def main() -> None:
            async with fanwire.connect("ws://127.0.0.1:8000") as client:
                async for message in await client.join("prices"):
                    print(message.data)

    Args:
        url: ws:// or wss://, a host, and optionally a port, a path and a query; the same for all transports.
        token: sent as `Authorization: Bearer`. A function (or a coroutine function) is called before every attempt to
            connect, and when the server says that the token expires: the new token replaces the old one, and the
            connection continues. There is one call at a time; a call that fails is tried again. A str cannot be
            renewed: the client ends with the code 4501 when this token has expired. A token is printable ASCII without
            spaces; a function that returns anything else has failed. None: no token.
        encoding: "json" or "msgpack".
        max_attempts: attempts to connect that fail in a row before the client gives up; None: it never gives up. A
            session that opens ends the row.
        first_attempts: the same for the first connection; None: as `max_attempts`. With 1, `async with` raises
            `ConnectionFailed` at once if there is no server.
        max_delay: seconds between two attempts at most; what the server asks for (`Retry-After`) may be more. Each
            delay is random, up to a bound that begins with 1 s and doubles with each attempt that fails
            (docs/client.md).
        heartbeat: seconds without data after which the client sends a ping. After twice this time the connection counts
            as lost. None: as the server says.
        ssl: for wss:// only, such as `ssl.create_default_context(cafile=...)`; None: the system's certificates.
        headers: more headers for every request, names to values of printable ASCII. The client sets `Host`,
            `Connection`, `Upgrade` and `Sec-WebSocket-*` itself, and `Authorization` where there is a token.
        max_queue: messages that may wait for the application in the queue of each room, and in the queue of messages to
            this client alone. Each queue has also a limit of 8 MiB. `Room` describes what a full queue of a room does.
            From a full queue of messages to this client alone the oldest are dropped; the gap of the next message
            counts them.
        open_timeout: seconds for the answer of the last transport that is tried, and for a call of `token`.
        close_timeout: seconds for the server to answer a close.
        transports: names of the transports that may be used, the best one first: "websocket", "sse" (messages come by
            an event stream and go by POST) and "long-poll" (messages come by requests that wait). If one does not
            bring the first message within 2 or 3 seconds, because a proxy blocks it or holds responses back, the next
            one is tried at once. The client begins with the one that worked last, and from time to time tries the
            best one again, without a loss. `Client.transport` says which one is in use.
        compression: "deflate" offers the server to compress the messages of WebSockets (permessage-deflate, RFC 7692),
            and compresses the client's messages of more than 256 bytes that become smaller. `Client.is_compressed` says
            whether the server has agreed. None: no compression. That is the default, because compression costs time
            on both sides, which a fast network does not give back, and because the sizes of compressed messages tell
            something of their content to those who see them on the wire (docs/compression.md).

    Raises:
        TypeError, ValueError: an argument is of the wrong type, out of range, or cannot be sent in a request.
    """
    options = Options(
        url=url,
        token=token,
        encoding=encoding,
        max_attempts=max_attempts,
        first_attempts=first_attempts,
        max_delay=max_delay,
        heartbeat=heartbeat,
        ssl=ssl,
        headers=headers,
        max_queue=max_queue,
        open_timeout=open_timeout,
        close_timeout=close_timeout,
        transports=transports,
        compression=compression,
    )
    return Client(options.checked())
