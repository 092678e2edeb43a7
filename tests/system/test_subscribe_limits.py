"""`Server.subscribe` and rooms for which there is no space."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from helpers.serving import Book
from helpers.wait import until, within

import fanwire


async def some(messages: AsyncIterator[fanwire.Message], count: int) -> list[fanwire.Message]:
    """The next messages."""
    return [await within(anext(messages)) for _ in range(count)]


async def test_too_many_rooms_end_it() -> None:
    async with Book() as server, server.subscribe("live.*", max_rooms=3) as messages:
        for number in range(3):
            server.publish(f"live.{number}", number)
        assert [one.data for one in await some(messages, 3)] == [0, 1, 2]
        server.publish("live.3", 3)
        with pytest.raises(fanwire.Overloaded, match="more rooms than max_rooms"):
            await within(anext(messages))


async def test_a_room_for_which_there_was_no_space_is_read_when_there_is() -> None:
    async with Book({"max_rooms": 1}) as server, server.subscribe("live.*") as messages:
        async with await server.peer("/other"):
            await until(lambda: server.rooms() == {"other": 1})
            with pytest.raises(fanwire.Overloaded):
                server.publish("live.a", "refused")

        def published() -> bool:
            with contextlib.suppress(fanwire.Overloaded):
                server.publish("live.a", "first")
                return True
            return False

        # The empty room gives way, but a call looks for such rooms in a part of the table only.
        await until(published)
        assert [one.data for one in await some(messages, 1)] == ["first"]


async def test_a_full_room_ends_the_subscription_and_refuses_nobody_who_is_in_it() -> None:
    server = Book()
    server.room("game.*", max_members=1)
    async with server, server.subscribe("game.*") as messages, await server.peer("/game.7") as player:
        await until(lambda: server.rooms() == {"game.7": 1})
        server.publish("game.7", "hello")
        assert await player.message() == b"hello"
        with pytest.raises(fanwire.Overloaded):
            await within(anext(messages))
