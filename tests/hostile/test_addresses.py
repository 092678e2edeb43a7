"""Where clients are, and where they say they are: limits and logs go by what can be believed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from helpers.serving import Book
from helpers.wire import request
from hostile.addresses import ADDRESSES, PROXIES, STRANGER, TRUSTED, Address, forwarded
from hostile.arena import Arena, dial_from

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena() -> AsyncIterator[Arena]:
    async with Arena.of(Book(trusted_proxies=PROXIES)) as arena:
        yield arena


@pytest.mark.parametrize("row", ADDRESSES, ids=repr)
async def test_who_a_client_is_taken_for(arena: Arena, row: Address) -> None:
    async with arena.watched() as server, await dial_from(server, row.peer) as peer:
        await peer.send(request("/", {}, *row.lines))
        assert (await peer.response()).status == 101
        found = server.opened[-1].request
        assert (found.remote, found.is_secure) == (row.remote, row.is_secure)


async def answers(server: Book, peer: str, clients: list[str]) -> list[int]:
    """To connections that stay, each with another word of who it is."""
    found = []
    async with contextlib.AsyncExitStack() as stack:
        for client in clients:
            one = await stack.enter_async_context(await dial_from(server, peer))
            await one.send(request("/", {}, *forwarded(client)))
            found.append((await one.response()).status)
    return found


async def test_a_stranger_is_one_whatever_it_says() -> None:
    server = Book({"max_address_connections": 3}, trusted_proxies=PROXIES)
    async with Arena.of(server) as arena, arena.watched():
        assert await answers(server, STRANGER, [f"198.51.100.{n}" for n in range(6)]) == [101] * 3 + [429] * 3
        assert arena.count("max_address_connections") == 3


async def test_clients_of_a_proxy_are_each_one() -> None:
    server = Book({"max_address_connections": 3}, trusted_proxies=PROXIES)
    async with Arena.of(server) as arena, arena.watched():
        assert await answers(server, TRUSTED, [f"198.51.100.{n}" for n in range(6)]) == [101] * 6
        same = await answers(server, TRUSTED, ["1.1.1.1, 198.51.100.7"] * 4 + ["198.51.100.8", "2.2.2.2, 198.51.100.7"])
        assert same == [101, 101, 101, 429, 101, 429]
        # Of one household in IPv6 there is one.
        house = await answers(server, TRUSTED, [f"2001:4860::{n}" for n in range(5)] + ["2001:4860:0:1::1"])
        assert house == [101, 101, 101, 429, 429, 101]
        # What names nobody counts for the proxy.
        assert await answers(server, TRUSTED, ["unknown", "", "x", "y"]) == [101, 101, 101, 429]


async def test_rates_go_by_clients_too() -> None:
    config = {"address_handshake_rate": 0.0001, "address_handshake_burst": 3}
    server = Book(config, trusted_proxies=PROXIES)
    async with Arena.of(server) as arena, arena.watched():
        assert await answers(server, TRUSTED, ["198.51.100.7"] * 5 + ["198.51.100.8"]) == [101] * 3 + [429] * 2 + [101]
        assert await answers(server, STRANGER, [f"198.51.101.{n}" for n in range(5)]) == [101] * 3 + [429] * 2


async def test_without_a_proxy_that_is_trusted_nobody_is_believed() -> None:
    server = Book({"max_address_connections": 3})
    async with Arena.of(server) as arena, arena.watched():
        assert await answers(server, TRUSTED, [f"198.51.100.{n}" for n in range(4)]) == [101] * 3 + [429]
