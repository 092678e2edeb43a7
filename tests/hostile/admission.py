"""Limits before and at the upgrade: how many connections come, how many stay, and what they send."""

from __future__ import annotations

import contextlib

from helpers.serving import Book
from helpers.wire import TEXT, Peer, frame, request
from hostile.arena import dial_from
from hostile.limits import BYSTANDERS, Limit, park, raw, session, upgrade

MORE = 3
"""Connections that may be there besides."""
FOREIGN = "127.0.0.9"
"""The address of whoever passes a limit."""


async def status_of(peer: Peer, data: bytes) -> str:
    await peer.send(data)
    response = await peer.response()
    assert ("retry-after" in response.headers) is (response.status in (429, 503))
    return str(response.status)


async def enter_from(stack: contextlib.AsyncExitStack, server: Book, address: str) -> Peer:
    return await stack.enter_async_context(await dial_from(server, address))


async def more_connections(server: Book) -> str:
    """Than there may be, from as many addresses and of as many users."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(MORE):
            peer = await enter_from(stack, server, f"127.0.1.{number}")
            assert await status_of(peer, upgrade(f"user{number}")) == "101"
        return await status_of(await enter_from(stack, server, "127.0.2.1"), upgrade())


async def more_who_say_nothing(server: Book) -> str:
    """They count from their first moment on, not from their first byte."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(MORE):
            await enter_from(stack, server, f"127.0.1.{number}")
        return await status_of(await enter_from(stack, server, "127.0.2.1"), upgrade())


async def more_who_come_and_go(server: Book) -> str:
    """It is how many come that counts, not how many stay."""
    for number in range(MORE):
        async with await dial_from(server, f"127.0.1.{number}") as peer:
            assert await status_of(peer, upgrade()) == "101"
    async with await dial_from(server, "127.0.2.1") as peer:
        return await status_of(peer, upgrade())


async def more_of_an_address(server: Book) -> str:
    """Of as many users, and others are let in all the same."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(MORE):
            assert await status_of(await enter_from(stack, server, FOREIGN), upgrade(f"user{number}")) == "101"
        assert await status_of(await enter_from(stack, server, "127.0.2.1"), upgrade()) == "101"
        return await status_of(await enter_from(stack, server, FOREIGN), upgrade())


async def more_of_an_address_who_come_and_go(server: Book) -> str:
    for _ in range(MORE):
        async with await dial_from(server, FOREIGN) as peer:
            assert await status_of(peer, upgrade()) == "101"
    async with await dial_from(server, "127.0.2.1") as peer:
        assert await status_of(peer, upgrade()) == "101"
    async with await dial_from(server, FOREIGN) as peer:
        return await status_of(peer, upgrade())


async def more_of_a_user(server: Book) -> str:
    """From as many addresses, and others are let in all the same."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(MORE):
            assert await status_of(await enter_from(stack, server, f"127.0.1.{number}"), upgrade()) == "101"
        assert await status_of(await enter_from(stack, server, "127.0.2.1"), upgrade("trent")) == "101"
        return await status_of(await enter_from(stack, server, "127.0.2.2"), upgrade())


async def more_of_a_user_of_whom_some_are_away(server: Book) -> str:
    """Those give way."""
    async with contextlib.AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(await session(server)) for _ in range(MORE)]
        conn = await park(server, talks[0])
        late = await stack.enter_async_context(await raw(server))
        await late.send(frame(TEXT, b"in"))
        assert await late.message() == b"in"
        return "ended" if conn.close_code else "parked"


async def two_who_speak_http(server: Book) -> str:
    async with await server.dial() as first, await server.dial() as second:
        get = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert await status_of(first, get) == "404"
        return await status_of(second, get)


async def a_long_head(server: Book) -> str:
    async with await server.dial() as peer:
        return await status_of(peer, request("/", {"X": "x" * 2000}))


async def a_slow_head(server: Book) -> str:
    async with await server.dial() as peer:
        return await status_of(peer, upgrade()[:20])


async def a_slow_answer(server: Book) -> str:
    async with await server.dial() as peer:
        return await status_of(peer, upgrade("slow"))


ONE_ADDRESS = {"address_handshake_rate": 0.0001, "address_handshake_burst": MORE}

ADMISSION = [
    Limit("max_connections", {"max_connections": BYSTANDERS + MORE}, more_connections, "503", "101"),
    Limit("max_connections", {"max_connections": BYSTANDERS + MORE}, more_who_say_nothing, "503", "101"),
    Limit("handshake_rate", {"handshake_rate": 0.0001, "handshake_burst": BYSTANDERS + MORE}, more_who_come_and_go,
          "503", "101"),
    Limit("max_address_connections", {"max_address_connections": MORE}, more_of_an_address, "429", "101"),
    Limit("address_handshake_rate", ONE_ADDRESS, more_of_an_address_who_come_and_go, "429", "101"),
    Limit("max_user_connections", {"max_user_connections": MORE}, more_of_a_user, "429", "101"),
    Limit("max_user_connections", {"max_user_connections": MORE}, more_of_a_user_of_whom_some_are_away,
          "ended", "parked"),
    Limit("max_http_connections", {"max_http_connections": 1}, two_who_speak_http, "503", "404"),
    Limit("max_head", {"max_head": 1024}, a_long_head, "431", "431"),
    # The bystanders have to come in within this time.
    Limit("handshake_timeout", {"handshake_timeout": 1.5}, a_slow_head, "408", "408"),
    Limit("handshake_timeout", {"handshake_timeout": 1.5}, a_slow_answer, "503", "503"),
]  # fmt: skip
