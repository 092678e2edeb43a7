"""What every backplane does: the memory's and that of NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from helpers.backplanes import Ear, MemoryWorld, NATSWorld, World
from helpers.nats import embedded
from helpers.wait import until

from fanwire.backplane import Stored, Unavailable
from fanwire.backplane.nats import NATS

NAMES = ["a", "A", "a.b", "a.*", "a.>", ">", "*", "$JS", "a b", "a=2Eb", "ä.☃", "x" * 255, "\x01\n", "a..b", "_", "-"]


@pytest_asyncio.fixture(params=["memory", "nats"])
async def world(request: pytest.FixtureRequest, tmp_path: Any, patient: None) -> AsyncIterator[World]:
    server = None
    if request.param == "memory":
        made: World = MemoryWorld()
    else:
        server = embedded(tmp_path)
        await server.start()
        made = NATSWorld(server)
    yield made
    for backplane in made.opened:
        await backplane.close()
    if server is not None:
        await server.stop()


async def test_others_hear_a_room_and_the_sender_does_not(world: World) -> None:
    (a, of_a), (b, of_b), (_, of_c) = await world.node(), await world.node(), await world.node()
    await a.hear("room")
    await b.hear("room")
    assert a.send("room", b"1")
    assert a.send("other", b"2")
    assert b.send("room", b"3")
    await until(lambda: of_a.heard_ and of_b.heard_)
    assert of_b.heard_ == [("room", b"1")]
    assert of_a.heard_ == [("room", b"3")]
    assert of_c.heard_ == []


async def test_what_was_heard_no_longer_is(world: World) -> None:
    (a, _), (b, of_b) = await world.node(), await world.node()
    await b.hear("room")
    await b.hear("end")
    b.unhear("room")
    await b.hear("other")
    a.send("room", b"1")
    a.send("end", b"2")
    await until(lambda: of_b.heard_)
    assert of_b.heard_ == [("end", b"2")]


async def test_messages_of_a_room_come_in_their_order(world: World) -> None:
    (a, _), (b, of_b) = await world.node(), await world.node()
    await b.hear("room")
    for n in range(1000):
        assert a.send("room", b"%d" % n)
    await until(lambda: len(of_b.heard_) == 1000)
    assert [data for _, data in of_b.heard_] == [b"%d" % n for n in range(1000)]


async def test_no_name_reaches_another_room(world: World) -> None:
    (a, _), (b, of_b) = await world.node(), await world.node()
    log = world.log()
    await a.declare(log)
    for name in NAMES:
        await b.hear(name)
        await b.follow(log, name)
    for name in NAMES:
        assert a.send(name, name.encode())
        await a.append(log, name, name.encode(), f"id {NAMES.index(name)}")
    await until(lambda: len(of_b.heard_) >= len(NAMES) and len(of_b.stored_) >= len(NAMES))
    assert sorted(of_b.heard_) == sorted((name, name.encode()) for name in NAMES)
    assert sorted((name, message.data) for name, message in of_b.stored_) == sorted(of_b.heard_)


async def test_all_are_told_the_teller_too(world: World) -> None:
    (a, of_a), (_, of_b) = await world.node(), await world.node()
    assert a.tell(b"hello")
    await until(lambda: of_a.told_ and of_b.told_)
    assert of_a.told_ == of_b.told_ == [b"hello"]


async def test_followers_get_what_is_stored_with_numbers(world: World) -> None:
    (a, of_a), (b, of_b) = await world.node(), await world.node()
    log = world.log()
    await a.declare(log)
    await b.declare(log)
    before = await a.append(log, "room", b"before", "0")
    state = await b.follow(log, "room")
    assert state.seq == before
    assert await a.follow(log, "room") == state
    other = await b.append(log, "other", b"x", "x")
    first, second = await b.append(log, "room", b"1", "1"), await a.append(log, "room", b"2", "2")
    await until(lambda: len(of_a.stored_) == len(of_b.stored_) == 2)
    assert before < other < first < second
    assert of_a.stored_ == of_b.stored_
    assert [message for _, message in of_b.stored_] == [Stored(first, before, b"1"), Stored(second, first, b"2")]


async def test_an_id_is_stored_once(world: World) -> None:
    (a, _), (b, of_b) = await world.node(), await world.node()
    log = world.log()
    await a.declare(log)
    await b.follow(log, "room")
    first = await a.append(log, "room", b"1", "same")
    assert await b.append(log, "room", b"1", "same") == first
    last = await a.append(log, "room", b"2", "other")
    await until(lambda: len(of_b.stored_) == 2)
    assert [message.seq for _, message in of_b.stored_] == [first, last]


async def test_reading_on_from_a_number(world: World) -> None:
    a, _ = await world.node()
    log = world.log(messages=1000)
    await a.declare(log)
    numbers = []
    for n in range(600):
        numbers.append(await a.append(log, "room", b"%d" % n, f"{n}"))
        if n % 3 == 0:
            await a.append(log, "other", b"", f"other {n}")
    for place in (0, 1, 100, 598):
        read: list[Stored] = []
        after = numbers[place]
        while True:
            more, is_whole = await a.read(log, "room", after)
            assert is_whole
            if not more:
                break
            read += more
            after = more[-1].seq
        assert [message.seq for message in read] == numbers[place + 1 :]
        assert [message.data for message in read] == [b"%d" % n for n in range(place + 1, 600)]
        assert [message.prev for message in read] == numbers[place:-1]
    some, _ = await a.read(log, "room", numbers[10], numbers[15])
    assert [message.seq for message in some] == numbers[11:16]
    assert await a.read(log, "room", numbers[-1]) == ([], True)


async def test_what_is_no_longer_kept_is_told(world: World) -> None:
    a, _ = await world.node()
    log = world.log(messages=5)
    await a.declare(log)
    numbers = [await a.append(log, "room", b"%d" % n, f"{n}") for n in range(20)]
    for place in (0, 10, 12):
        messages, is_whole = await a.read(log, "room", numbers[place])
        assert not is_whole
        assert messages[-1].seq == numbers[-1]
    messages, is_whole = await a.read(log, "room", numbers[14])
    assert is_whole
    assert [message.seq for message in messages] == numbers[15:]


async def test_a_room_without_messages(world: World) -> None:
    a, _ = await world.node()
    log = world.log()
    await a.declare(log)
    assert (await a.state(log, "room"))[1:] == (0, 0, 0)
    assert await a.read(log, "room", 0) == ([], True)
    other = await a.append(log, "other", b"1", "1")
    assert (await a.state(log, "room"))[1:] == (other, other, 0)
    assert await a.read(log, "room", other) == ([], True)
    first = await a.append(log, "room", b"2", "2")
    last = await a.append(log, "other", b"3", "3")
    assert (await a.state(log, "room"))[1:] == (first, last, first)


async def test_the_rooms_of_a_log_are_listed_by_their_names(world: World) -> None:
    a, _ = await world.node()
    log = world.log()
    await a.declare(log)
    assert await a.rooms(log) == []
    for number, name in enumerate(NAMES):
        await a.append(log, name, b"1", str(number))
    assert sorted(await a.rooms(log)) == sorted(NAMES)


async def test_age(world: World) -> None:
    (a, _) = await world.node()
    log = world.log(age=0.3)
    await a.declare(log)
    first = await a.append(log, "room", b"1", "1")
    await world.let_pass(a, log)
    second = await a.append(log, "room", b"2", "2")
    messages, is_whole = await a.read(log, "room", 0)
    assert [message.seq for message in messages] == [second]
    assert not is_whole
    assert await a.read(log, "room", first) == ([Stored(second, first, b"2")], True)


async def test_who_was_there_knows_more_than_the_log(world: World) -> None:
    a, _ = await world.node()
    log = world.log(age=0.5)
    await a.declare(log)
    first = await a.append(log, "room", b"1", "1")
    await a.append(log, "other", b"2", "2")
    await world.let_pass(a, log)
    third = await a.append(log, "other", b"3", "3")
    last = await a.append(log, "room", b"4", "4")
    assert third < last
    # Nothing of the room was lost, but the log alone may not know.
    assert await a.read(log, "room", first, None, 0.1) == ([Stored(last, first, b"4")], True)


async def test_another_log_is_another_numbering(world: World) -> None:
    a, _ = await world.node()
    one, two = world.log(), world.log()
    await a.declare(one)
    await a.declare(two)
    await a.declare(one._replace(messages=7))
    first, second = await a.state(one, "room"), await a.state(two, "room")
    assert first.epoch != second.epoch
    assert int(first.epoch, 16) > 0
    await a.append(one, "room", b"1", "1")
    assert await a.state(two, "room") == second
    assert (await a.state(one, "room")).epoch == first.epoch


async def test_what_is_too_large_is_refused(world: World) -> None:
    a, _ = await world.node()
    log = world.log()
    await a.declare(log)
    with pytest.raises(ValueError, match="bytes"):
        await a.append(log, "room", bytes(a.max_bytes + 1), "1")
    assert await a.append(log, "room", b"2", "2") == 1


async def test_it_comes_back_by_itself(world: World) -> None:
    (a, of_a), (b, of_b) = await world.node(), await world.node()
    log = world.log()
    await a.declare(log)
    await b.hear("room")
    await b.follow(log, "room")
    before = await a.append(log, "room", b"1", "1")
    # What has not come to a node before the break does not come after it; whoever follows reads the log then.
    await until(lambda: of_b.stored_)
    await world.break_for_a_while()
    await until(lambda: of_a.went_ == of_b.went_ == [False, True])
    assert a.is_up
    await until(lambda: a.is_up and b.is_up)
    for _ in range(400):
        try:
            after = await a.append(log, "room", b"2", "2")
            break
        except Unavailable:
            await asyncio.sleep(0.05)
    await until(lambda: len(of_b.stored_) == 2)
    assert [message.seq for _, message in of_b.stored_] == [before, after]
    assert a.send("room", b"3")
    await until(lambda: of_b.heard_)
    assert of_b.heard_ == [("room", b"3")]


async def test_what_is_asked_while_it_is_away(world: World) -> None:
    (a, of_a), (b, of_b) = await world.node(), await world.node()
    log = world.log()
    await a.declare(log)
    await world.break_for_a_while()
    await until(lambda: not a.is_up or of_a.went_)
    seqs: list[int] = []
    for _ in range(1000):
        try:
            seqs.append(await a.append(log, "room", b"1", "1"))
        except Unavailable:
            await asyncio.sleep(0.02)
        if len(seqs) == 10:
            break
    # However often it was tried, and whenever it was taken.
    assert (len(seqs), len({*seqs})) == (10, 1)
    await until(lambda: of_a.went_ == of_b.went_ == [False, True])
    assert b.is_up


async def test_connecting_anew(world: World) -> None:
    (a, of_a), (b, _) = await world.node(), await world.node()
    await a.hear("room")
    await a.reconnect()
    await until(lambda: of_a.went_ == [False, True])
    await a.hear("room")
    b.send("room", b"1")
    await until(lambda: of_a.heard_)
    assert of_a.heard_ == [("room", b"1")]


async def test_nobody_there() -> None:
    with pytest.raises(Unavailable, match="cannot connect to a NATS server"):
        await NATS("nats://127.0.0.1:1").open(Ear())


async def test_what_is_kept_by_name(world: World) -> None:
    (a, _), (b, _) = await world.node(), await world.node()
    assert await a.get("x") is None
    for name in NAMES:
        await a.put(name, name.encode(), 60)
    for name in NAMES:
        assert await b.get(name) == name.encode()
    await b.put("a", b"other", 60)
    assert await a.get("a") == b"other"
    await a.delete("a")
    assert await b.get("a") is None
    await a.delete("a")
    for ttl in (0.5, 2, 8):
        # On a busy machine it may be over before it is asked for.
        await a.put("short", b"1", ttl)
        if (found := await b.get("short")) is not None:
            break
    assert found == b"1"
    for _ in range(400):
        if await b.get("short") is None:
            break
        await asyncio.sleep(0.05)
    assert await b.get("short") is None
    assert await b.get("A") == b"A"
