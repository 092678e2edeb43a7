"""Deltas: clients see whole values, whatever leaves."""

from __future__ import annotations

from typing import Any

from helpers.features.cases import CUT, RENEW, STEADY, over
from helpers.features.ports import Got, RoomPort
from helpers.features.stage import Stage

import fanwire

OPTIONS: dict[str, Any] = {}


def declare(server: fanwire.Server) -> None:
    server.room("quotes.*", delivery="latest", delta=True, publish=True)
    server.room("small.*", delivery="latest", delta=True, compress=True)


def quote(n: int, **more: Any) -> dict[str, Any]:
    still = {f"field_{place}": f"{place}-{'x' * 20}" for place in range(12)}
    return {**still, "bid": n / 8, "levels": [n, {"size": None}], "venue": {"name": "X", "count": n}, **more}


async def up_to(room: RoomPort, n: int) -> list[Got]:
    """Takes messages until the value with this count; each of them must be a whole value."""
    found = await room.until(lambda message: message.data["venue"]["count"] == n)
    for message in found:
        assert message.data["field_0"].startswith("0-")
        assert message.data["bid"] == message.data["venue"]["count"] / 8
    return found


@over(links=(STEADY, CUT, RENEW), codecs=("json", "msgpack"))
async def test_the_application_gets_whole_values(stage: Stage) -> None:
    stage.publish("quotes", quote(0), key="a")
    room = await stage.join("quotes")
    await up_to(room, 0)
    before = stage.home.stats()["deltas"]["messages"]
    for n in range(1, 6):
        stage.publish("quotes", quote(n), key="a")
        # Taken one by one: what replaces a waiting value is no delta.
        (message,) = await up_to(room, n)
        assert message.data == quote(n)
    assert stage.home.stats()["deltas"]["messages"] >= before + 5
    async with stage.away():
        for n in range(6, 12):
            stage.publish("quotes", quote(n), key="a")
            stage.publish("quotes", quote(n, more={"n": n}), key="b")
    newest: dict[str, Any] = {}
    while newest != {"a": quote(11), "b": quote(11, more={"n": 11})}:
        got = await room.one()
        newest[got.key] = got.data
    for n in range(12, 15):
        stage.publish("quotes", quote(n, gone=n), key="b")
        assert (await up_to(room, n))[-1].data == quote(n, gone=n)
    stage.publish("quotes", quote(15), key="b")
    assert (await up_to(room, 15))[-1].data == quote(15)
    assert [event.kind for event in await room.events() if event.kind not in ("skipped", "gap")] == []


@over(links=(STEADY, CUT))
async def test_a_value_that_no_delta_can_make_comes_whole(stage: Stage) -> None:
    room = await stage.join("quotes")
    values: list[Any] = [
        quote(1),
        quote(2, none=None),
        quote(3, none=None),
        [1],
        "text",
        b"\x00",
        quote(4),
        {},
        quote(5),
    ]
    for place, value in enumerate(values):
        if place == 4:
            async with stage.away():
                pass
        stage.publish("quotes", value, key="k")
        assert await room.data(1) == [value]


@over(links=(STEADY, CUT))
async def test_a_forgotten_key_begins_anew(stage: Stage) -> None:
    room = await stage.join("quotes")
    for n in range(2):
        stage.publish("quotes", quote(n), key="k")
        await up_to(room, n)
    async with stage.away():
        stage.publisher.forget(room.name, "k")
    (message,) = await room.take(1)
    assert message.forgotten
    for n in range(2, 4):
        stage.publish("quotes", quote(n), key="k")
        assert (await up_to(room, n))[-1].data == quote(n)


@over(links=(STEADY,))
async def test_a_publisher_that_does_not_get_its_own_message_still_gets_the_next_values(stage: Stage) -> None:
    name = stage.room("quotes")
    room = await stage.client.join(name)
    other = await stage.connect()
    await other.publish(name, quote(0), key="k")
    await up_to(room, 0)
    for n in range(1, 7, 2):
        await stage.client.publish(name, quote(n), key="k")
        await other.publish(name, quote(n + 1), key="k")
        assert (await up_to(room, n + 1))[-1].data == quote(n + 1)


@over(links=(STEADY, CUT))
async def test_a_room_that_compresses_has_deltas_too(stage: Stage) -> None:
    room = await stage.join("small")
    for n in range(4):
        stage.publish("small", quote(n), key="k")
        await up_to(room, n)
    async with stage.away():
        for n in range(4, 8):
            stage.publish("small", quote(n), key="k")
    await up_to(room, 7)
