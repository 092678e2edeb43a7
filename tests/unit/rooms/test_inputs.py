"""Inputs of players: their order, their numbers, and their limits."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from helpers.hosted import Hosted

from fanwire.rooms.inputs import INPUT_BYTES, Inputs


def player(id: int) -> Any:
    return SimpleNamespace(id=id, rooms={"r", "zone.1", "zone.2"})


def put(inputs: Inputs, who: Any, room: str, number: int, data: Any, size: int = 1) -> bool:
    return inputs._put(who, room, number, msgspec.json.encode(data), True, size)


def test_the_inputs_of_a_player_come_together_and_in_their_order() -> None:
    inputs = Inputs("zone.*", None, 10)
    ann, bob = player(1), player(2)
    assert inputs.take("zone.1") == []
    for who, number in ((ann, 1), (bob, 1), (ann, 2)):
        assert put(inputs, who, "zone.1", number, f"{who.id}:{number}")
    assert put(inputs, ann, "zone.2", 1, "elsewhere")
    assert inputs.take("zone.1") == [(ann, 1, "1:1"), (ann, 2, "1:2"), (bob, 1, "2:1")]
    assert inputs.take("zone.1") == []
    assert sorted((who.id, room, number) for who, room, number in inputs._untold({"zone.1"})) == [
        (1, "zone.1", 2), (2, "zone.1", 1),
    ]  # fmt: skip
    assert inputs._untold({"zone.1", "zone.2"}) == []
    assert [inputs._matches(room) for room in ("zone.1", "zone", "other")] == [True, False, False]


def test_a_number_counts_once_and_one_begins_anew() -> None:
    inputs = Inputs("r", None, 10)
    ann = player(1)
    for number in (1, 2, 2, 1, 5, 3):
        put(inputs, ann, "r", number, number)
    assert [one.number for one in inputs.take("r")] == [1, 2, 1, 5]


def test_the_oldest_make_way() -> None:
    inputs = Inputs("r", None, 2)
    ann = player(1)
    assert [put(inputs, ann, "r", number, number) for number in (1, 2, 3)] == [True, True, False]
    assert [one.number for one in inputs.take("r")] == [2, 3]
    assert inputs._untold({"r"}) == [(ann, "r", 3)]


def test_who_has_left_is_forgotten() -> None:
    inputs = Inputs("r", None, 2)
    ann, bob = player(1), player(2)
    for who in (ann, bob):
        put(inputs, who, "r", 1, "x")
    inputs._left(ann, "r")
    inputs._left(ann, "other")
    assert [one.connection for one in inputs.take("r")] == [bob]
    inputs._left(bob, "r")
    assert inputs._untold({"r"}) == []
    assert not inputs._rooms


def test_a_player_holds_so_many_bytes_in_all_rooms_together() -> None:
    inputs = Inputs("*", None, 4)
    ann, bob = player(1), player(2)
    # Four kilobytes, and what is around an input.
    assert put(inputs, ann, "r", 1, "large", INPUT_BYTES)
    assert not put(inputs, ann, "zone.1", 1, "elsewhere")
    assert put(inputs, bob, "zone.1", 1, "bob's")
    assert not put(inputs, ann, "r", 2, "small")
    assert put(inputs, ann, "zone.1", 2, "there is room again")
    assert [one.number for one in inputs.take("r")] == [2]
    assert [one.data for one in inputs.take("zone.1")] == ["there is room again", "bob's"]
    inputs._left(bob, "zone.1")
    put(inputs, ann, "r", 3, "x")
    inputs._left(ann, "r")
    assert not inputs._held


def test_nothing_is_kept_for_a_player_who_has_left() -> None:
    inputs = Inputs("r", None, 2)
    ann = player(1)
    put(inputs, ann, "r", 1, "x")
    ann.rooms.discard("r")
    inputs._left(ann, "r")
    # The loop's thread was about to add it.
    assert put(inputs, ann, "r", 2, "y")
    assert not inputs._rooms
    assert not inputs._held


def test_players_leave_from_other_threads_while_inputs_come() -> None:
    inputs = Inputs("r", None, 2)
    players = [player(number) for number in range(200)]
    stop = threading.Event()
    errors: list[BaseException] = []

    def leave() -> None:
        try:
            while not stop.is_set():
                for one in players:
                    one.rooms.discard("r")
                    inputs._left(one, "r")
                    one.rooms.add("r")
        except BaseException as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    thread = threading.Thread(target=leave)
    thread.start()
    for number in range(1, 100):
        for one in players:
            put(inputs, one, "r", number, "x")
        inputs.take("r")
        inputs._untold({"r"})
    stop.set()
    thread.join()
    assert not errors
    for one in players:
        one.rooms.discard("r")
        inputs._left(one, "r")
    assert not inputs._rooms
    assert not inputs._held


Lists = list[Any]


@pytest.mark.parametrize("schema", [None, Lists])
async def test_an_input_waits_as_its_bytes(host: Hosted, schema: Any) -> None:
    inputs = host.inputs("open.*", schema)
    client = await host.connect("/ann")
    await client.joins("open.a")
    brackets: list[Any] = [[] for _ in range(1000)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(1, 65):
        heard = await client.says({"type": "input", "room": "open.a", "payload": {"number": number, "data": brackets}})
        assert all(each["type"] == "received" for each in heard), heard
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    taken = inputs.take("open.a")
    assert taken[-1].data == brackets
    assert len(taken) < 64
    assert grown < 256 * 1024, grown


class Move(msgspec.Struct):
    dx: float


async def test_clients_send_them_to_rooms_that_they_are_in(host: Hosted) -> None:
    inputs = host.inputs("open.*", Move, max_waiting=2)
    client = await host.connect("/ann")

    async def said(room: Any, payload: Any) -> list[dict[str, Any]]:
        return await client.says({"type": "input", "room": room, "payload": payload})

    async def code(room: Any, payload: Any) -> Any:
        (error,) = await said(room, payload)
        return error["payload"]["code"]

    one = {"number": 1, "data": {"dx": 2}}
    assert await code("open.a", one) == "not_joined"
    assert await code(None, one) == "bad_message"
    await client.joins("open.a")
    await client.joins("seen")
    assert await code("seen", one) == "forbidden"
    for payload in (
        {"number": 0, "data": {"dx": 2}}, {"number": "1"}, {"number": 1, "data": {"dx": "far"}}, {"number": 1}, 7,
        {"number": 1, "data": "x" * INPUT_BYTES},
    ):  # fmt: skip
        assert await code("open.a", payload) == "invalid_payload", payload
    assert await said("open.a", one) == []
    assert [(taken.number, taken.data) for taken in inputs.take("open.a")] == [(1, Move(2))]
    for number in (2, 3, 4):
        assert await said("open.a", {"number": number, "data": {"dx": 1}}) == []
    assert host.passed == ["max_waiting"]
    await client.says({"type": "leave", "room": "open.a"})
    assert inputs.take("open.a") == []


def test_what_its_schema_does_not_let_pass_again_is_left_out() -> None:
    inputs = Inputs("r", Move, 10)
    ann = player(1)
    for number, data in enumerate(({"dx": 1}, "no more", {"dx": 3}), 1):
        put(inputs, ann, "r", number, data)
    assert [(one.number, one.data) for one in inputs.take("r")] == [(1, Move(1)), (3, Move(3))]
    assert inputs._untold({"r"}) == [(ann, "r", 3)]


async def test_both_codecs_carry_them(host: Hosted) -> None:
    inputs = host.inputs("open.*")
    typed = host.inputs("seen", tuple[bytes | int, str])
    client = await host.connect("/ann", "msgpack")
    for room, found in (("open.a", inputs), ("seen", typed)):
        await client.joins(room)
        assert await client.says({"type": "input", "room": room, "payload": {"number": 1, "data": [1, "a"]}}) == []
        assert [list(taken.data) for taken in found.take(room)] == [[1, "a"]]
