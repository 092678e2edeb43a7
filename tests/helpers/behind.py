"""A server behind a proxy of ops/proxies, and clients that come by it."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

import fanwire
from helpers.edge import Edge
from helpers.serving import Book
from helpers.wait import DEADLINE, within
from helpers.wire import Peer

Tls = tuple[fanwire.TLS, ssl.SSLContext]

Before = Callable[..., Edge]
"""Makes a proxy before a server; `changes` to its file are by the proxy's name."""


class Behind(Book):
    """A server that believes the proxy."""

    def __init__(self, config: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(config, trusted_proxies=["127.0.0.1"], **options)


def client(edge: Edge, tls: Tls, path: str = "/", address: str = "127.0.0.1", **options: Any) -> connect:
    """A client at that address, to be awaited or entered."""
    options = {"max_queue": None, "ping_interval": None, "close_timeout": DEADLINE, **options}
    return connect(
        edge.url + path,
        ssl=tls[1],
        compression=None,
        proxy=None,
        open_timeout=DEADLINE,
        local_addr=(address, 0),
        **options,
    )


async def refusal(edge: Edge, tls: Tls, path: str = "/", **options: Any) -> Response:
    """What a client is answered that is not let in."""
    with pytest.raises(InvalidStatus) as refused:
        await within(client(edge, tls, path, **options))
    return refused.value.response


@contextlib.asynccontextmanager
async def by_hand(edge: Edge, tls: Tls) -> AsyncIterator[Peer]:
    """A peer that has only connected."""
    async with await Peer.dial("127.0.0.1", edge.port, context=tls[1]) as peer:
        yield peer


async def answer_to(asked: bytes, edge: Edge, tls: Tls) -> int | None:
    """The status that a request gets; None if the proxy has ended the connection before all of it was sent, and with it
    its answer."""
    async with by_hand(edge, tls) as peer:
        try:
            await peer.send(asked)
        except ConnectionError:
            return None
        try:
            return (await peer.response()).status
        except (ConnectionError, EOFError):
            return None


def with_ports(changes: dict[str, dict[str, str]], **ports: int) -> dict[str, dict[str, str]]:
    """Changes to the files of proxies, with numbers in place of the names of ports."""

    def named(text: str) -> str:
        for name, port in ports.items():
            text = text.replace(name, str(port))
        return text

    return {proxy: {named(old): named(new) for old, new in of.items()} for proxy, of in changes.items()}
