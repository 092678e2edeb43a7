"""Rooms with a tick, with every client, over every transport, at one node and at two, and through a cut."""

from __future__ import annotations

from helpers.features.cases import over
from helpers.features.stage import Stage

import fanwire


def declare(server: fanwire.Server) -> None:
    server.room("zone.*", delivery="latest", publish=True, tick=100)
    server.room("events.*", publish=True, tick=100)


@over()
async def test_the_newest_value_comes_and_numbers_have_no_hole(stage: Stage) -> None:
    room = await stage.join("zone")
    async with stage.away():
        for number in range(200):
            assert stage.publish("zone", number, key=f"k{number % 4}") is None
    newest: dict[str, int] = {}
    while newest != {"k0": 196, "k1": 197, "k2": 198, "k3": 199}:
        message = await room.one()
        assert message.gap is None
        newest[message.key] = message.data
    late = await stage.connect()
    values = await (await late.join(room.name)).take(4)
    assert sorted(message.data for message in values) == [196, 197, 198, 199]


@over()
async def test_messages_without_a_key_all_come_in_order(stage: Stage) -> None:
    room = await stage.join("events")
    async with stage.away():
        for number in range(100):
            stage.publish("events", number)
    assert [message.data for message in await room.take(100)] == [*range(100)]


@over(nodes=(1,))
async def test_a_client_is_told_the_number_when_its_message_leaves(stage: Stage) -> None:
    room = await stage.join("events")
    numbers = [await stage.client.publish(room.name, number) for number in range(3)]
    assert numbers == [message.seq for message in await room.take(3)]
