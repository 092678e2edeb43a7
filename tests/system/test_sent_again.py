"""What a client sends again, because it does not know whether it was done, is done once, also while the first is under
way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.nodes import Cluster
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire
from fanwire.backplane import MemoryBus

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


class Gate:
    """An `authorize` that lets publishes wait, and answers them one by one."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[bool]] = []

    async def authorize(self, identity: Any, action: str, room: str) -> bool:
        if action != "publish":
            return True
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        return await answer

    async def waits(self, count: int = 1) -> None:
        """Until so many publishes have asked."""
        await until(lambda: len(self.asked) >= count, f"{count} publishes wait for authorize")


def made(gate: Gate, config: dict[str, Any] | None = None, **options: Any) -> Book:
    server = Book(config, authorize=gate.authorize, **options)
    server.room("*", join=True, publish=True, history=10)
    return server


def under_way(server: Book) -> int:
    assert server._host is not None
    return len(server._host.dispatcher._rooms.publish.__self__._publishing)


async def arrived(talk: Talk) -> None:
    """Until the server has begun with all that was said: pings are answered at once, but in their turn."""
    await talk.say("ping", id=None)
    while (await talk.hear())["type"] != "pong":
        pass


async def answer(talk: Talk, name: str) -> dict[str, Any]:
    """What answers a message, whatever comes before."""
    while (message := await talk.hear()).get("re") != name:
        pass
    return message


@CODECS
@pytest.mark.parametrize("identified", [True, False])
async def test_a_publish_that_comes_again_while_the_first_waits_is_done_once(codec: str, identified: bool) -> None:
    gate = Gate()
    options: dict[str, Any] = {"authenticate": lambda request: "alice"} if identified else {}
    server = made(gate, {"grace": 0}, **options)
    async with server, await Talk.open(server, codec=codec) as reader:
        await reader.ask("join", room="a")
        first = await Talk.open(server, codec=codec)
        await first.say("publish", id="p1", room="a", payload="hello")
        await gate.waits()
        first.cut()
        await until(lambda: len(server.connections) == 1)
        # Without an identity it is the row of sessions that tells whose id it is.
        async with await Talk.open(server, codec=codec, after=first) as second:
            assert not second.welcome["resumed"]
            await second.say("publish", id="p1", room="a", payload="hello")
            # The order stays: what is behind it waits with it.
            await second.say("publish", id="p2", room="a", payload="next")
            await arrived(second)
            gate.asked[0].set_result(True)
            assert (await answer(second, "p1"))["seq"] == 1
            await gate.waits(2)
            gate.asked[1].set_result(True)
            assert (await answer(second, "p2"))["seq"] == 2
            messages = [await reader.hear("message") for _ in range(2)]
            assert [(message["seq"], message["payload"]) for message in messages] == [(1, "hello"), (2, "next")]
        assert len(gate.asked) == 2
        assert not under_way(server)


@CODECS
async def test_both_are_answered_alike(codec: str) -> None:
    gate = Gate()
    server = made(gate, authenticate=lambda request: "alice")
    async with (
        server,
        await Talk.open(server, codec=codec) as one,
        await Talk.open(server, codec=codec) as two,
        await Talk.open(server, codec=codec) as three,
    ):
        for talk in (one, two, three):
            await talk.say("publish", id="p", room="a", payload=1)
            await arrived(talk)
        await gate.waits()
        gate.asked[0].set_result(True)
        assert [(await answer(talk, "p"))["seq"] for talk in (one, two, three)] == [1, 1, 1]
        assert server.stats()["published"] == 1
        assert len(gate.asked) == 1


@pytest.mark.parametrize("code", ["forbidden", "no", "internal"])
@pytest.mark.logs_errors
async def test_a_refusal_is_told_to_both_and_not_kept(code: str) -> None:
    gate = Gate()
    server = made(gate, authenticate=lambda request: "alice")
    async with server, await Talk.open(server) as one, await Talk.open(server) as two:
        for talk in (one, two):
            await talk.say("publish", id="p", room="a", payload=1)
            await arrived(talk)
        await gate.waits()
        if code == "forbidden":
            gate.asked[0].set_result(False)
        else:
            gate.asked[0].set_exception(fanwire.Reject("no") if code == "no" else KeyError("x"))
        for talk in (one, two):
            refusal = await answer(talk, "p")
            assert (refusal["type"], refusal["payload"]["code"]) == ("error", code)
        if code == "forbidden":
            # That is an answer, which holds until it is withdrawn.
            await one.say("publish", id="p", room="a", payload=1)
            assert (await answer(one, "p"))["payload"]["code"] == "forbidden"
            assert len(gate.asked) == 1
            server.reauthorize()
        # It may be tried again, and is asked about anew.
        await one.say("publish", id="p", room="a", payload=1)
        await gate.waits(2)
        gate.asked[1].set_result(True)
        assert (await answer(one, "p"))["seq"] == 1
        assert not under_way(server)


async def test_a_publish_whose_first_attempt_was_cancelled_is_done_by_the_second() -> None:
    gate = Gate()
    server = made(gate, authenticate=lambda request: "alice")
    async with server, await Talk.open(server) as one, await Talk.open(server) as two:
        for talk in (one, two):
            await talk.say("publish", id="p", room="a", payload=1)
            await arrived(talk)
        await gate.waits()
        assert server._host is not None
        task = server._host.dispatcher._rooms.publish.__self__._publishing.find(("alice", "a\0p"))
        assert task is not None
        task.cancel()
        assert (await answer(one, "p"))["payload"]["code"] == "internal"
        await gate.waits(2)
        gate.asked[1].set_result(True)
        assert (await answer(two, "p"))["seq"] == 1
        assert server.stats()["published"] == 1


async def test_a_session_that_is_resumed_meanwhile_is_answered_once() -> None:
    gate = Gate()
    server = made(gate)
    async with server:
        first = await Talk.open(server)
        await first.say("publish", id="p", room="a", payload=1)
        await gate.waits()
        first.cut()
        (conn,) = server.opened
        await until(lambda: conn.is_reconnecting)
        async with await Talk.open(server, after=first) as second:
            assert second.welcome["resumed"]
            await until(lambda: not conn.is_reconnecting)
            # A client that sends it again though the server has counted it does no harm.
            await second.say("publish", id="p", room="a", payload=1)
            gate.asked[0].set_result(True)
            # Who comes back is asked about again.
            await gate.waits(2)
            gate.asked[1].set_result(True)
            assert [(await answer(second, "p"))["seq"] for _ in range(2)] == [1, 1]
            assert server.stats()["published"] == 1


async def test_the_same_id_in_another_room_is_another_message() -> None:
    server = Book()
    server.room("*", publish=True)
    async with server, await Talk.open(server) as talk:
        await talk.ask("join", room="b")
        for room in ("a", "b", "a", "b"):
            await talk.say("publish", id="p", room=room, payload=room)
            reply = await answer(talk, "p")
            assert (reply["room"], reply["seq"]) == (room, 1)
        assert server.stats()["published"] == 2


async def test_what_waits_to_be_stored_is_stored_once() -> None:
    nodes = Cluster(MemoryBus(), None)
    node = nodes.node({"append_timeout": 10.0}, authenticate=lambda request: "alice")
    async with node, await Talk.open(node) as one, await Talk.open(node) as two:
        await nodes.take_away()
        for talk in (one, two):
            await talk.say("publish", id="p", room="log.a", payload=1)
        await until(lambda: under_way(node) == 1)
        await nodes.bring_back()
        seqs = [(await answer(talk, "p"))["seq"] for talk in (one, two)]
        assert seqs[0] == seqs[1] > 0
        assert (await two.ask("publish", room="log.a", payload=2))["seq"] == seqs[0] + 1


@CODECS
async def test_a_client_that_is_cut_while_authorize_thinks_publishes_once(codec: str) -> None:
    gate = Gate()
    server = made(gate, {"grace": 0}, authenticate=lambda request: "alice")
    async with server, fanwire.connect(server.url, encoding=codec) as reader:
        room = await reader.join("a")
        async with fanwire.connect(server.url, encoding=codec) as client:
            publishing = asyncio.ensure_future(client.publish("a", "hello"))
            await gate.waits()
            writer = next(conn for conn in server.connections if conn.session == client.session)
            session = client.session
            assert server._host is not None
            server._host.registry.links[writer._link].abort()
            await until(lambda: client.session not in ("", session), "it is back")
            gate.asked[0].set_result(True)
            assert await within(publishing) == 1
            ending = asyncio.ensure_future(client.publish("a", "end"))
            await gate.waits(2)
            gate.asked[1].set_result(True)
            assert await within(ending) == 2
        got = [(await within(anext(room))).data for _ in range(2)]
        assert got == ["hello", "end"]


async def test_the_application_publishes_once_by_an_id() -> None:
    server = Book()
    server.room("a", history=5)
    async with server, await Talk.open(server, "/a") as reader:
        await reader.hear("joined")
        for room, name, expected in (("a", "x", 1), ("a", "x", 1), ("a", "y", 2), ("b", "x", 1), ("a", None, 3)):
            assert await server.publish_acked(room, expected, id=name) == expected
        assert [(await reader.hear("message"))["payload"] for _ in range(3)] == [1, 2, 3]
        for bad in ("", "x" * 201):
            with pytest.raises(ValueError, match="id must have 1 to 200 bytes"):
                await server.publish_acked("a", 1, id=bad)
    # Numbers begin anew with the engine, and so does what is known of ids.
    async with server:
        assert await server.publish_acked("a", 1, id="y") == 1


class SlowOrders:
    """Handlers of orders that wait until they are let go."""

    def __init__(self, server: Book) -> None:
        self.begun: list[str | None] = []
        self.cancelled = 0
        self.end = asyncio.Event()
        server.on("order")(self.order)

    async def order(self, conn: fanwire.Connection, payload: Any) -> dict[str, Any]:
        self.begun.append(conn.message_id)
        number = len(self.begun)
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if payload == "bad":
            raise fanwire.Reject("bad", data=number)
        return {"number": number}


@CODECS
@pytest.mark.parametrize("payload", ["good", "bad"])
async def test_a_request_that_comes_again_while_it_is_handled_gets_the_answer_of_the_first(
    codec: str, payload: str
) -> None:
    server = Book({"grace": 0, "handler_grace": 60.0})
    orders = SlowOrders(server)
    async with server:
        first = await Talk.open(server, codec=codec)
        await first.say("order", id="o1", payload=payload)
        await until(lambda: orders.begun)
        first.cut()
        await until(lambda: not server.connections)
        async with await Talk.open(server, codec=codec, after=first) as second:
            await second.say("order", id="o1", payload=payload)
            await arrived(second)
            orders.end.set()
            reply = await answer(second, "o1")
            number = reply["payload"]["number" if payload == "good" else "data"]
            assert (number, orders.begun) == (1, ["o1"])
            # An answer is kept. What the handler has refused is asked again.
            await second.say("order", id="o1", payload=payload)
            last = await answer(second, "o1")
            assert (last["payload"] == reply["payload"]) == (payload == "good")
            assert orders.begun == (["o1"] if payload == "good" else ["o1", "o1"])


@CODECS
@pytest.mark.parametrize("is_async", [True, False])
async def test_a_request_that_was_answered_while_its_client_was_away_is_not_handled_again(
    codec: str, is_async: bool
) -> None:
    server = Book({"grace": 0, "handler_grace": 60.0})
    orders: list[str | None] = []

    def place(conn: fanwire.Connection, payload: Any) -> dict[str, int]:
        orders.append(conn.message_id)
        return {"number": len(orders)}

    async def place_later(conn: fanwire.Connection, payload: Any) -> dict[str, int]:
        await asyncio.sleep(0)
        return place(conn, payload)

    server.on("order")(place_later if is_async else place)
    server.on("sale")(place)
    async with server:
        first = await Talk.open(server, codec=codec)
        await first.say("order", id="o1", payload=5)
        await answer(first, "o1")
        first.cut()
        await until(lambda: not server.connections)
        async with await Talk.open(server, codec=codec, after=first) as second:
            assert not second.welcome["resumed"]
            await second.say("order", id="o1", payload=5)
            assert (await answer(second, "o1"))["payload"] == {"number": 1}
            # Another id and another type are other requests.
            for kind, name, number in (("order", "o2", 2), ("sale", "o1", 3)):
                await second.say(kind, id=name, payload=5)
                assert (await answer(second, name))["payload"] == {"number": number}
        # Another client has ids of its own.
        async with await Talk.open(server, codec=codec) as other:
            await other.say("order", id="o1", payload=5)
            assert (await answer(other, "o1"))["payload"] == {"number": 4}


async def test_a_request_whose_handler_was_cancelled_is_handled_when_it_comes_again() -> None:
    server = Book({"grace": 0, "handler_grace": 0.05})
    orders = SlowOrders(server)
    async with server:
        first = await Talk.open(server)
        await first.say("order", id="o1")
        await until(lambda: orders.begun)
        first.cut()
        await until(lambda: not server.connections)
        async with await Talk.open(server, after=first) as second:
            await second.say("order", id="o1")
            await until(lambda: len(orders.begun) == 2)
            assert orders.cancelled == 1
            orders.end.set()
            assert (await answer(second, "o1"))["payload"] == {"number": 2}
            assert orders.begun == ["o1", "o1"]


async def test_two_clients_of_one_user_may_use_the_same_ids() -> None:
    server = Book(authenticate=lambda request: "alice")
    orders = SlowOrders(server)
    async with server, await Talk.open(server) as one, await Talk.open(server) as two:
        for talk in (one, two):
            await talk.say("order", id="1")
        await until(lambda: len(orders.begun) == 2)
        orders.end.set()
        assert [(await answer(talk, "1"))["payload"]["number"] for talk in (one, two)] == [1, 2]


@CODECS
async def test_a_clients_request_survives_the_loss_of_its_session(codec: str) -> None:
    server = Book({"grace": 0, "handler_grace": 60.0})
    orders = SlowOrders(server)
    async with server, fanwire.connect(server.url, encoding=codec) as client:
        asking = asyncio.ensure_future(client.request("order", "good"))
        await until(lambda: orders.begun)
        session = client.session
        server.cut_all()
        await until(lambda: client.session not in ("", session), "it is back")
        inboxes = [conn._handler_queue for conn in server.connections]
        await until(
            lambda: any(handler_queue is not None and handler_queue.is_running for handler_queue in inboxes),
            "it has asked again",
        )
        orders.end.set()
        assert await within(asking) == {"number": 1}
        assert len(orders.begun) == 1
