"""Rooms as clients with sessions see them: who may, who is there, what was missed, what is skipped."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest
from helpers.serving import Book, take
from helpers.talk import Talk
from helpers.wait import until

import fanwire
from fanwire import Snapshot


async def test_clients_join_publish_and_leave_where_they_may() -> None:
    server = Book()
    server.room("open.*", publish=True)
    server.room("read.*")
    server.room("odd.*", join=lambda conn, room: room.endswith("1"), publish=lambda conn, room: room.endswith("3"))
    async with server, await Talk.open(server) as talk, server.client("/open.a") as raw:
        assert (await talk.ask("join", room="open.a"))["seq"] == 0
        name = await talk.say("publish", room="open.a", payload={"n": 1})
        assert (await talk.hear("message"))["payload"] == {"n": 1}
        reply = await talk.hear("reply")
        assert (reply["re"], reply["room"], reply["seq"]) == (name, "open.a", 1)
        assert await take(raw, 1) == ['{"n": 1}']
        assert (await talk.ask("leave", room="open.a"))["type"] == "left"
        server.publish("open.a", "not heard")
        for kind, room, allowed in (
            ("join", "read.a", True), ("publish", "read.a", False), ("join", "odd.1", True), ("join", "odd.2", False),
            ("publish", "odd.3", True), ("publish", "odd.1", False), ("join", "other", False),
        ):  # fmt: skip
            answer = await talk.ask(kind, room=room, payload=1 if kind == "publish" else None)
            assert (answer["type"] != "error") == allowed, room
            if not allowed:
                assert answer["payload"]["code"] == "forbidden"


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_payloads_of_every_kind_reach_every_kind_of_member(codec: str) -> None:
    server = Book()
    server.room("a", publish=True)
    payloads: list[Any] = ['text \u20ac"\n', {"a": [1, 2.5, None, True]}, [1], 7, None]
    async with server:
        json, packed, sender = [await Talk.open(server, codec=name) for name in ("json", "msgpack", codec)]
        raw = await server.client("/a")
        await json.ask("join", room="a")
        await packed.ask("join", room="a")
        for payload in payloads:
            await sender.ask("publish", room="a", payload=payload)
        for member in (json, packed):
            assert [(await member.hear("message"))["payload"] for _ in payloads] == payloads
        texts = await take(raw, len(payloads))
        assert texts[0] == payloads[0]
        assert [msgspec.json.decode(text) for text in texts[1:]] == payloads[1:]
        server.publish("a", b"\x00\xff")
        message = await json.hear("message")
        assert (message["encoding"], message["payload"]) == ("base64", "AP8=")
        assert (await packed.hear("message"))["payload"] == b"\x00\xff"
        assert await take(raw, 1) == [b"\x00\xff"]
        for talk in (json, packed, sender):
            talk.cut()
        await raw.close()


async def test_bytes_from_clients_stay_bytes() -> None:
    server = Book()
    server.room("a", publish=True)
    async with server, await Talk.open(server) as json, await Talk.open(server, codec="msgpack") as packed:
        await packed.ask("join", room="a")
        await json.ask("publish", room="a", payload="AP8=", encoding="base64")
        assert (await packed.hear("message"))["payload"] == b"\x00\xff"
        await packed.say("publish", room="a", payload=b"\x01")
        assert (await packed.hear("message"))["payload"] == b"\x01"


async def test_a_schema_keeps_wrong_payloads_out_of_the_room() -> None:
    class Line(msgspec.Struct):
        text: str

    server = Book()
    server.room("chat", publish=True, schema=Line)
    async with server, await Talk.open(server) as talk:
        answer = await talk.ask("publish", room="chat", payload={"text": 5})
        assert (answer["payload"]["code"], answer["payload"]["path"]) == ("invalid_payload", "$.text")
        assert (await talk.ask("publish", room="chat", payload={"text": "x"}))["seq"] == 1


async def test_a_publish_is_done_once_however_often_it_is_sent() -> None:
    server = Book({"grace": 0.05})
    server.room("a", publish=True)
    async with server, await Talk.open(server) as reader:
        await reader.ask("join", room="a")
        first = await Talk.open(server)
        for _ in range(3):
            answer = await first.ask("publish", room="a", payload="x")
            first._ids = iter([1])
            assert answer["seq"] == 1
        first.cut()
        await server.ended()
        # Its session is gone, and what it has published is remembered all the same.
        async with await Talk.open(server, after=first) as second:
            assert second.welcome["reason"] == "expired"
            second._ids = iter([1, 2])
            assert (await second.ask("publish", room="a", payload="x"))["seq"] == 1
            assert (await second.ask("publish", room="a", payload="y"))["seq"] == 2
        # Another client's ids are its own.
        async with await Talk.open(server) as other:
            assert (await other.ask("publish", room="a", payload="z"))["seq"] == 3
        assert [(await reader.hear("message"))["payload"] for _ in range(3)] == ["x", "y", "z"]


async def test_a_join_with_a_position_gets_exactly_what_was_missed() -> None:
    server = Book()
    server.room("h", history=10)
    async with server, await Talk.open(server) as talk:
        joined = await talk.ask("join", room="h")
        epoch = joined["payload"]["epoch"]
        assert joined["payload"] == {"epoch": epoch, "recovered": False, "delivery": "reliable"}
        await talk.ask("leave", room="h")
        for number in range(15):
            server.publish("h", number)
        for since, reason, seqs in (
            ({"epoch": epoch, "seq": 15}, None, []),
            ({"epoch": epoch, "seq": 12}, None, [13, 14, 15]),
            ({"epoch": epoch, "seq": 5}, None, list(range(6, 16))),
            ({"epoch": epoch, "seq": 4}, "history", []),
            ({"epoch": epoch, "seq": 16}, "position", []),
            ({"epoch": "0", "seq": 15}, "epoch", []),
            ({"epoch": "no epoch", "seq": 15}, "epoch", []),
        ):
            joined = await talk.ask("join", room="h", payload={"since": since})
            assert joined["seq"] == 15
            assert (joined["payload"]["recovered"], joined["payload"].get("reason")) == (reason is None, reason)
            assert await talk.seqs(len(seqs)) == seqs
            # Also without leaving: who has found a hole asks again.
            if since["seq"] != 12:
                await talk.ask("leave", room="h")
        answer = await talk.ask("join", room="h", payload={"since": {"epoch": epoch, "seq": "x"}})
        assert (answer["payload"]["code"], answer["payload"]["path"]) == ("invalid_payload", "$.since.seq")


async def test_a_joiner_of_latest_values_gets_them_first() -> None:
    server = Book()
    server.room("q", delivery="latest", publish=True)
    async with server, await Talk.open(server) as talk:
        for number in range(6):
            server.publish("q", number, key=str(number % 3))
        joined = await talk.ask("join", room="q")
        assert (joined["seq"], joined["payload"]["delivery"]) == (6, "latest")
        values = [await talk.hear("message") for _ in range(3)]
        assert [(value["key"], value["payload"], value["seq"]) for value in values] == [
            ("0", 3, 4), ("1", 4, 5), ("2", 5, 6),
        ]  # fmt: skip
        await talk.say("publish", room="q", key="1", payload=9)
        # Answers are reliable, and go ahead of what may be dropped.
        assert {message["type"]: message.get("key") for message in [await talk.hear(), await talk.hear()]} == {
            "reply": None,
            "message": "1",
        }


async def test_an_applications_own_snapshot_fits_the_stream() -> None:
    """The book is changed and published by another thread while clients join."""
    # A client that stands still for a moment is no slow one.
    server = Book({"connection_bytes": 64 << 20})
    book: dict[str, int] = {}
    state = Snapshot({}, 0)
    lock = threading.Lock()

    def snapshot(room: str) -> Snapshot:
        with lock:
            return state

    async def slow_snapshot(room: str) -> Snapshot:
        found = snapshot(room)
        await asyncio.sleep(0.01)
        return found

    server.room("book", history=100_000, snapshot=snapshot)
    server.room("slow", history=100_000, snapshot=slow_snapshot)
    done = threading.Event()

    def work(room: str) -> None:
        nonlocal state
        while not done.wait(0.001):
            with lock:
                for _ in range(5):
                    count = book["count"] = book.get("count", 0) + 1
                    state = Snapshot(dict(book), server.publish(room, count))

    for room in ("book", "slow"):
        book.clear()
        state = Snapshot({}, 0)
        done.clear()
        async with server:
            thread = threading.Thread(target=work, args=(room,))
            thread.start()
            try:
                for _ in range(10):
                    async with await Talk.open(server) as talk:
                        joined = await talk.ask("join", room=room)
                        count = joined["payload"]["snapshot"].get("count", 0)
                        assert joined["seq"] == count
                        assert not joined["payload"]["recovered"]
                        for expected in range(count + 1, count + 50):
                            message = await talk.hear("message")
                            assert (message["seq"], message["payload"]) == (expected, expected)
                async with await Talk.open(server) as talk:
                    # What history has needs no snapshot; what it has not does.
                    position = {"epoch": joined["payload"]["epoch"], "seq": 1}
                    again = await talk.ask("join", room=room, payload={"since": position})
                    assert (again["payload"]["recovered"], "snapshot" in again["payload"]) == (True, False)
                    assert await talk.seqs(3) == [2, 3, 4]
                async with await Talk.open(server) as talk:
                    again = await talk.ask("join", room=room, payload={"since": {"epoch": "0", "seq": 1}})
                    assert (again["payload"]["reason"], "snapshot" in again["payload"]) == ("epoch", True)
            finally:
                done.set()
                thread.join()


async def test_a_state_that_history_cannot_reach_is_refused_for_now() -> None:
    server = Book()
    server.room("a", history=1, snapshot=lambda room: Snapshot("old", 0))
    async with server, await Talk.open(server) as talk:
        server.publish("a", 1)
        assert (await talk.ask("join", room="a"))["payload"]["snapshot"] == "old"
        await talk.hear("message")
        await talk.ask("leave", room="a")
        server.publish("a", 2)
        answer = await talk.ask("join", room="a")
        assert (answer["payload"]["code"], answer["payload"]["retry"]) == ("overloaded", True)
        text = "the snapshot of room 'a' is of number 0, but the history begins at number 2"
        assert answer["payload"]["text"] == text
        assert server.count("a") == 0


async def test_a_full_room_says_so() -> None:
    server = Book()
    server.room("small", max_members=1)
    async with server, await Talk.open(server) as first, await Talk.open(server) as second:
        await first.ask("join", room="small")
        answer = await second.ask("join", room="small")
        assert (answer["payload"]["code"], answer["payload"]["retry"]) == ("room_full", True)
        await until(lambda: len(server.opened) == 2)
        with pytest.raises(fanwire.errors.RoomFull):
            server.opened[1].join("small")
        # Its only member may ask for what it has missed.
        assert (await first.ask("join", room="small"))["type"] == "joined"
        await first.ask("leave", room="small")
        assert (await second.ask("join", room="small"))["type"] == "joined"


async def test_members_of_a_room_with_presence_know_of_each_other() -> None:
    server = Book()
    server.room("p", presence=True)
    changes: list[tuple[int, str, bool]] = []
    server.on_join(lambda conn, room: changes.append((conn.id, room, True)))
    server.on_leave(lambda conn, room: changes.append((conn.id, room, False)))
    async with server, await Talk.open(server) as ann:
        await until(lambda: server.opened)
        server.opened[0].info = {"name": "ann"}
        joined = (await ann.ask("join", room="p"))["payload"]
        me = {"id": f"{server.opened[0].id:x}", "info": {"name": "ann"}}
        assert (joined["count"], joined["members"]) == (1, [me])
        ben = await Talk.open(server)
        joined = (await ben.ask("join", room="p"))["payload"]
        other = {"id": f"{server.opened[1].id:x}", "info": None}
        assert (joined["count"], joined["members"]) == (2, [me, other])
        event = await ann.hear("member_joined")
        assert (event["room"], event["payload"]) == ("p", other)
        assert (await ann.ask("presence", room="p"))["payload"] == {"count": 2, "members": [me, other]}
        # A client that is away is still there, for others.
        ben.cut()
        ben = await Talk.open(server, after=ben)
        assert ben.welcome["resumed"]
        assert (await ann.ask("presence", room="p"))["payload"]["count"] == 2
        await ben.close()
        event = await ann.hear("member_left")
        assert event["payload"] == other
        raw = await server.client("/p")
        assert (await ann.hear("member_joined"))["payload"]["info"] is None
        server.publish("p", "only this")
        assert await take(raw, 1) == ["only this"]
        await ann.hear("message")
        await raw.close()
        await ann.hear("member_left")
        await until(lambda: len(changes) == 5)
        ids = [conn.id for conn in server.opened]
        assert changes == [
            (ids[0], "p", True), (ids[1], "p", True), (ids[1], "p", False), (ids[2], "p", True), (ids[2], "p", False),
        ]  # fmt: skip


async def test_who_has_left_joins_nothing() -> None:
    server = Book()
    server.room("p", presence=True)
    async with server, await Talk.open(server) as talk:
        gone = await Talk.open(server)
        await gone.close()
        (await server.ended()).join("p")
        joined = (await talk.ask("join", room="p"))["payload"]
        assert (joined["count"], server.closed[0].rooms) == (1, set())


async def test_joins_from_other_threads() -> None:
    server = Book()
    server.room("p", presence=True)
    changes: list[bool] = []
    server.on_join(lambda conn, room: changes.append(True))
    async with server, await Talk.open(server) as talk:
        await until(lambda: server.opened)
        assert await asyncio.to_thread(server.opened[0].join, "p") == 0
        joined = await talk.hear("joined")
        assert ("re" in joined, joined["payload"]["count"]) == (False, 1)
        await asyncio.to_thread(server.opened[0].leave, "p")
        assert (await talk.hear("left"))["room"] == "p"
        await until(lambda: changes)


async def test_what_a_publisher_withholds_is_told() -> None:
    async with Book() as server, await Talk.open(server, "/a") as talk:
        await talk.hear("joined")
        server.publish("a", 1)
        server.publish("a", 2, exclude=server.opened[0])
        server.publish("a", 3)
        messages = [await talk.hear() for _ in range(3)]
        assert [message["seq"] for message in messages if message["type"] == "message"] == [1, 3]
        (skipped,) = [message for message in messages if message["type"] == "skipped"]
        assert (skipped["room"], skipped["payload"]) == (
            "a", {"reason": "excluded", "count": 1, "first": 2, "last": 2},
        )  # fmt: skip


async def test_a_slow_reader_is_told_what_it_did_not_get() -> None:
    server = Book({"connection_bytes": 64 << 10, "unsent_bytes": 4096})
    server.room("*", delivery="drop-oldest")
    async with server:
        talk = await Talk.open(server, max_queue=1)
        await talk.ask("join", room="a")
        count = 0
        while server.stats()["drops"]["oldest"] < 50:
            server.publish("a", bytes(3000))
            count += 1
            await asyncio.sleep(0)
        got, skipped = 0, 0
        while got + skipped < count:
            message = await talk.hear()
            if message["type"] == "skipped":
                assert message["payload"]["reason"] == "oldest"
                skipped += message["payload"]["count"]
            else:
                got += 1
        assert got + skipped == count
        assert skipped >= 50
        talk.cut()
