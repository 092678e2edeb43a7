"""Sessions over real sockets: they outlive connections, belong to their owners, and end honestly."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
from helpers.serving import Book, take
from helpers.talk import Talk
from helpers.wait import until, within
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

import fanwire
from fanwire import ConnectionState, Refused
from fanwire.identity.identity import ANONYMOUS, Anonymous

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])
Tls = tuple[fanwire.TLS, ssl.SSLContext]


def user_of(request: fanwire.Request) -> str | Anonymous:
    if request.query.get("user") == "nobody":
        raise Refused(401)
    return request.query.get("user") or ANONYMOUS


async def parked(server: Book) -> None:
    await until(lambda: any(conn.is_reconnecting for conn in server.connections), "a session is parked")


@CODECS
async def test_the_welcome_comes_first_and_is_complete(codec: str) -> None:
    config = {"ping_interval": 7.0, "ping_timeout": 5.0, "grace": 9.0}
    async with Book(config) as server, await Talk.open(server, "/a", codec=codec) as talk:
        # Its lineage and its own part, 192 bits each.
        assert list(map(len, talk.session.split("."))) == [32, 32]
        assert {**talk.welcome, "session": ""} == {
            "session": "", "resumed": False, "received": 0, "heartbeat_ms": 7000, "grace_ms": 9000, "ack_frames": 4096,
            "ack_bytes": 524288, "max_message": 1 << 20, "window": 16 << 10,
        }  # fmt: skip
        assert (await talk.hear("joined"))["room"] == "a"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["fanwire.v1.msgpack", "fanwire.v1.json"], "fanwire.v1.msgpack"),
        (["mine", "fanwire.v1.json"], "fanwire.v1.json"),
        (["mine", "fanwire.v2.json"], None),
        (None, None),
    ],
)
async def test_the_first_offer_that_is_spoken_is_taken(offered: list[Subprotocol] | None, chosen: str | None) -> None:
    async with Book() as server, server.client("/a", subprotocols=offered) as client:
        assert client.subprotocol == chosen
        server.publish("a", b"raw")
        if chosen is None:
            assert await take(client, 1) == [b"raw"]
        await until(lambda: server.opened)
        assert (server.opened[0].session is not None) == (chosen is not None)


@CODECS
async def test_what_was_missed_comes_over_the_next_connection(codec: str) -> None:
    async with Book() as server:
        first = await Talk.open(server, "/a", codec=codec)
        await first.hear("joined")
        for number in range(3):
            server.publish("a", {"n": number})
        assert await first.seqs(2) == [1, 2]
        first.cut()
        await parked(server)
        server.publish("a", {"n": 3})
        server.opened[0].send({"only": "you"})
        async with await Talk.open(server, codec=codec, after=first) as second:
            assert (second.welcome["resumed"], second.session) == (True, first.session)
            assert await second.seqs(2) == [3, 4]
            assert (await second.hear("message"))["payload"] == {"only": "you"}
            server.publish("a", {"n": 4})
            assert await second.seqs(1) == [5]
        assert (len(server.opened), server.closed) == (1, [])
        assert server.count("a") == 1


async def test_a_client_that_is_back_before_the_server_has_noticed_takes_its_session_along() -> None:
    async with Book() as server, await Talk.open(server, "/a") as first:
        await first.hear("joined")
        server.publish("a", "1")
        assert await first.seqs(1) == [1]
        async with await Talk.open(server, after=first) as second:
            assert second.welcome["resumed"]
            with pytest.raises(ConnectionClosed):
                await within(first.socket.recv())
            server.publish("a", "2")
            assert await second.seqs(1) == [2]
        assert server.opened[0].state in (ConnectionState.OPEN, ConnectionState.RECONNECTING)


async def test_many_cuts_in_a_row() -> None:
    async with Book() as server:
        talk = await Talk.open(server, "/a")
        await talk.hear("joined")
        seqs = []
        for number in range(50):
            server.publish("a", str(number))
            if number % 3 == 0:
                seqs += await talk.seqs(1)
            talk.cut()
            talk = await Talk.open(server, after=talk)
            assert talk.welcome["resumed"]
        seqs += await talk.seqs(50 - len(seqs))
        assert seqs == list(range(1, 51))
        talk.cut()


async def test_the_client_learns_which_of_its_messages_have_come() -> None:
    server = Book()
    got: list[Any] = []
    server.on("note")(lambda conn, payload: got.append(payload))
    async with server:
        first = await Talk.open(server)
        for number in range(40):
            await first.say("note", payload=number)
        kinds = [(await first.hear())["type"] for _ in range(41)]
        assert kinds.count("reply") == 40
        assert kinds.count("received") == 1
        await first.say("note", payload=40)
        await until(lambda: len(got) == 41)
        first.cut()
        async with await Talk.open(server, after=first) as second:
            assert second.welcome["received"] == 41
            await second.hear("reply")
        assert got == list(range(41))


@pytest.mark.parametrize("code", [1000, 1008, 3000])
async def test_an_intended_close_ends_the_session(code: int) -> None:
    async with Book() as server:
        first = await Talk.open(server, "/a")
        await first.close(code)
        ended = await server.ended()
        assert (ended.close_code, ended.state) == (code, ConnectionState.CLOSED)
        await until(lambda: server.count("a") == 0)
        async with await Talk.open(server, after=first) as second:
            assert (second.welcome["resumed"], second.welcome["reason"]) == (False, "closed")
            assert second.session != first.session


# Browsers send 1001 by themselves when a page is left, or only loaded again.
@pytest.mark.parametrize("code", [4000, 1001])
async def test_a_close_that_means_to_come_back_parks_it(code: int) -> None:
    async with Book() as server:
        first = await Talk.open(server, "/a")
        await first.hear("joined")
        await first.close(code)
        async with await Talk.open(server, after=first) as second:
            assert second.welcome["resumed"]
        assert server.closed == []


async def test_a_session_that_waited_too_long_has_expired() -> None:
    async with Book({"grace": 0.05}) as server:
        first = await Talk.open(server, "/a")
        first.cut()
        ended = await server.ended()
        assert (ended.close_code, server.connections) == (1006, [])
        await until(lambda: server.count("a") == 0)
        async with await Talk.open(server, after=first) as second:
            assert second.welcome["reason"] == "expired"


async def test_without_grace_nothing_is_parked() -> None:
    async with Book({"grace": 0}) as server:
        first = await Talk.open(server, "/a")
        first.cut()
        await server.ended()
        async with await Talk.open(server, after=first) as second:
            assert second.welcome["reason"] == "closed"


async def test_the_application_can_close_one_who_is_away() -> None:
    async with Book({"close_timeout": 0.05}) as server:
        first = await Talk.open(server, "/a")
        first.cut()
        await parked(server)
        server.opened[0].close(4500, "banned")
        ended = await server.ended()
        assert (ended.close_code, ended.state) == (4500, ConnectionState.CLOSED)
        async with await Talk.open(server, after=first) as second:
            assert second.welcome["reason"] == "closed"


async def test_the_end_of_a_transport_that_was_left_is_not_the_sessions() -> None:
    async with Book() as server:
        first = await Talk.open(server, "/a")
        await first.hear("joined")
        # The server may read the old one's close frame after the new one's request.
        closing = asyncio.ensure_future(first.socket.close(1000))
        async with await Talk.open(server, after=first) as second:
            if second.welcome["resumed"]:
                server.publish("a", "1")
                assert await second.seqs(1) == [1]
            else:
                assert second.welcome["reason"] == "closed"
        await within(closing)


async def test_too_much_for_one_who_is_away_is_an_overflow() -> None:
    async with Book({"connection_bytes": 8192}) as server:
        first = await Talk.open(server, "/a")
        first.cut()
        await parked(server)
        for _ in range(10):
            server.publish("a", bytes(1000))
        await server.ended()
        async with await Talk.open(server, after=first) as second:
            assert second.welcome["reason"] == "overflow"


async def test_a_session_that_was_too_slow_leaves_nothing_behind() -> None:
    async with Book({"connection_bytes": 8192, "unsent_bytes": 4096}) as server:
        first = await Talk.open(server, "/a", max_queue=1)
        while not server.opened[0].close_code:
            server.publish("a", bytes(4000))
            await asyncio.sleep(0)
        assert server.opened[0].close_code == 4008
        first.cut()
        await server.ended()
        assert server._host is not None
        assert len(server._host.registry.sessions) == 0
        async with await Talk.open(server, after=first) as second:
            assert second.welcome["reason"] == "overflow"


async def test_what_is_no_longer_kept_is_an_overflow_and_the_connection_goes_on_as_a_new_one() -> None:
    async with Book({"replay_bytes": 1000}) as server:
        first = await Talk.open(server, "/a")
        await first.hear("joined")
        for number in range(20):
            server.publish("a", str(number))
        await first.seqs(20)
        first.received = 2
        first.cut()
        async with await Talk.open(server, "/b", after=first) as second:
            assert (second.welcome["resumed"], second.welcome["reason"]) == (False, "overflow")
            assert (await server.ended()).session == first.session
            assert (await second.hear("joined"))["room"] == "b"
            await second.ask("nonsense")
            await until(lambda: server.count("a") == 0)
            assert len(server.opened) == 2


@pytest.mark.parametrize("received", ["999999", "-1", "x", "", "1" * 400])
async def test_a_count_that_cannot_be_resumes_nothing(received: str) -> None:
    async with Book() as server:
        first = await Talk.open(server)
        first.cut()
        path = f"/?session={first.session}&received={received}"
        async with await Talk.open(server, path) as second:
            assert second.welcome["reason"] == "overflow"


async def test_a_session_is_its_owners_alone() -> None:
    async with Book(authenticate=user_of) as server:
        first = await Talk.open(server, "/?user=ann")
        first.cut()
        await parked(server)
        for user in ("ben", ""):
            async with await Talk.open(server, f"/?user={user}&session={first.session}&received=0") as other:
                assert other.welcome["reason"] == "unknown"
        async with await Talk.open(server, "/?user=ann&session=guess&received=0") as third:
            assert third.welcome["reason"] == "unknown"
        async with await Talk.open(server, f"/?user=ann&session={first.session}&received=0") as again:
            assert again.welcome["resumed"]


async def test_another_encoding_is_another_session() -> None:
    async with Book() as server:
        first = await Talk.open(server)
        first.cut()
        async with await Talk.open(server, codec="msgpack", after=first) as second:
            assert second.welcome["reason"] == "codec"
        # It waits still for a client that speaks as it does.
        async with await Talk.open(server, after=first) as third:
            assert third.welcome["resumed"]


async def test_those_who_wait_are_bounded() -> None:
    async with Book({"max_parked": 2}) as server:
        talks = [await Talk.open(server) for _ in range(3)]
        for count, talk in enumerate(talks, 1):
            talk.cut()
            # One after the other, so that the first has waited longest.
            await until(
                lambda count=count: sum(c.is_reconnecting for c in server.connections) + len(server.closed) == count
            )
        await server.ended()
        async with await Talk.open(server, after=talks[0]) as back:
            assert back.welcome["reason"] == "overflow"
        async with await Talk.open(server, after=talks[2]) as back:
            assert back.welcome["resumed"]


async def test_a_drain_says_when_to_come_back() -> None:
    async with Book({"drain_spread": 2.0}) as server:
        talk = await Talk.open(server)
        waiting = await Talk.open(server)
        waiting.cut()
        await parked(server)
        stopping = asyncio.ensure_future(server.stop())
        closing = (await talk.hear("closing"))["payload"]
        assert (closing["code"], closing["reconnect"]) == (1001, True)
        assert 0 <= closing["after_ms"] <= 2000
        with pytest.raises(ConnectionClosed) as closed:
            await within(talk.socket.recv())
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert await within(stopping)
        assert len(server.closed) == 2


async def test_resuming_over_tls(tls: Tls) -> None:
    async with Book(tls=tls[0]) as server:
        first = await Talk.open(server, "/a", ssl=tls[1])
        await first.hear("joined")
        for number in range(100):
            server.publish("a", bytes(1000) + bytes([number]))
        assert await first.seqs(30) == list(range(1, 31))
        first.cut()
        async with await Talk.open(server, after=first, ssl=tls[1]) as second:
            assert second.welcome["resumed"]
            assert await second.seqs(70) == list(range(31, 101))


async def test_handlers_of_one_client_run_one_after_the_other_also_over_two_connections() -> None:
    server = Book()
    gate = asyncio.Event()
    steps: list[str] = []

    @server.on("step")
    async def step(conn: fanwire.Connection, payload: str) -> None:
        steps.append(f"{payload} begins")
        await gate.wait()
        steps.append(f"{payload} ends")

    async with server:
        first = await Talk.open(server)
        await first.say("step", payload="a")
        await until(lambda: steps)
        first.cut()
        async with await Talk.open(server, after=first) as second:
            await second.say("step", payload="b")
            await second.say("ping")
            await second.hear("pong")
            gate.set()
            await until(lambda: len(steps) == 4)
            assert steps == ["a begins", "a ends", "b begins", "b ends"]


@pytest.mark.logs_errors
async def test_a_store_that_fails_keeps_nobody_out() -> None:
    class Broken(fanwire.sessions.store.MemoryStore):
        async def load(self, id: str) -> None:
            raise OSError("no store")

    async with Book(sessions=Broken()) as server, await Talk.open(server, "/?session=x&received=0") as talk:
        assert talk.welcome["reason"] == "unknown"
