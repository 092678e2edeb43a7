"""Two live connections with one session: the newer has it, and the older is told so, for good."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any

import pytest
from helpers.held import hold, release
from helpers.nodes import Cluster
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from helpers.wire import Peer, request
from websockets.exceptions import ConnectionClosed

import fanwire
from fanwire import CloseCode, ConnectionState
from fanwire.backplane import MemoryBus

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])
OVER = pytest.mark.parametrize("over", ["plain", "tls"])
Tls = tuple[fanwire.TLS, ssl.SSLContext]
SESSION = {"Sec-WebSocket-Protocol": "fanwire.v1.json"}


def options_of(over: str, tls: Tls) -> tuple[dict[str, Any], dict[str, Any]]:
    """For a server, and for a client."""
    return ({"tls": tls[0]}, {"ssl": tls[1]}) if over == "tls" else ({}, {})


async def end_of(talk: Talk) -> tuple[int, str]:
    """The close frame that the server has sent."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await within(talk.socket.recv())
    frame = talk.socket.protocol.close_rcvd
    assert frame is not None, "the connection ended without a close frame"
    return frame.code, frame.reason


@OVER
@CODECS
async def test_the_older_of_two_connections_is_closed_for_good_and_the_session_goes_on(
    codec: str, over: str, tls: Tls
) -> None:
    server_options, options = options_of(over, tls)
    async with Book(**server_options) as server:
        talk = await Talk.open(server, "/a", codec=codec, **options)
        await talk.hear("joined")
        for number in range(1, 4):
            server.publish("a", {"n": number})
            newer = await Talk.open(server, codec=codec, after=talk, **options)
            assert newer.welcome["resumed"]
            # The message may have come to both: to the newer it comes in any case.
            assert await newer.seqs(1) == [number]
            assert await end_of(talk) == (4503, "another connection uses this session")
            talk = newer
        # Nobody but the newest is left, and nobody has noticed but those two.
        await until(lambda: len(server._host.registry.links) == 1, "the older transports are gone")
        assert (server.opened[0].state, len(server.opened), server.closed) == (ConnectionState.OPEN, 1, [])
        assert server.count("a") == 1
        await talk.close()
        assert (await server.ended()).close_code == 1000


async def test_the_python_client_ends_and_does_not_come_back() -> None:
    async with Book() as server, fanwire.connect(server.url) as client:
        session = client._runtime.machine.session.id
        states: list[fanwire.ConnectionState] = []
        client.on_state(states.append)
        async with await Talk.open(server, f"/?session={session}&received=0") as other:
            assert other.welcome["resumed"]
            await until(lambda: client.state is fanwire.ConnectionState.CLOSED, "the client has ended")
            with pytest.raises(fanwire.ConnectionFailed, match="another connection uses this session") as failed:
                await client.join("a")
            assert failed.value.code == CloseCode.TAKEN_OVER
            assert fanwire.ConnectionState.RECONNECTING not in states
            assert not CloseCode.TAKEN_OVER.should_reconnect
            assert len(server.opened) == 1


@OVER
async def test_a_frame_that_is_on_its_way_to_the_older_one_is_finished_first(over: str, tls: Tls) -> None:
    server_options, options = options_of(over, tls)
    config = {"connection_bytes": 8 << 20, "replay_bytes": 16 << 20, "close_timeout": 20.0}
    async with Book(config, **server_options) as server:
        context = options.get("ssl")
        peer = await server.dial(rcvbuf=4096, context=context)
        await peer.upgrade("/", SESSION)
        welcome = await peer.message()
        session = welcome.split(b'"session":"')[1].split(b'"')[0].decode()
        await until(lambda: server.opened, "it is there")
        big = "x" * (4 << 20)
        server.opened[0].send(big)
        await until(lambda: server.stats()["bytes"] > 10_000, "a part of it has left")
        async with await Talk.open(server, f"/?session={session}&received=0", max_size=None, **options) as other:
            assert other.welcome["resumed"]
            # The older one reads only now: a whole message, and then the close frame.
            assert big.encode() in await peer.message()
            assert (await peer.closed())[0] == 4503
            assert (await other.hear("message"))["payload"] == big
        peer.close()


@OVER
async def test_one_that_is_cut_off_holds_nothing_up(over: str, tls: Tls) -> None:
    server_options, options = options_of(over, tls)
    async with Book({"close_timeout": 0.5}, **server_options) as server:
        peer = await server.dial(rcvbuf=4096, context=options.get("ssl"))
        await peer.upgrade("/a", SESSION)
        session = (await peer.message()).split(b'"session":"')[1].split(b'"')[0].decode()
        peer.stall()
        for _ in range(40):
            server.publish("a", "x" * 20_000)
        # As of a cable that was pulled: it neither reads nor answers.
        async with await Talk.open(server, f"/?session={session}&received=0", **options) as other:
            assert other.welcome["resumed"]
            await other.hear("joined")
            assert await other.seqs(40) == list(range(1, 41))
            await until(lambda: len(server._host.registry.links) == 1, "it is cut off")
            await until(lambda: server.stats()["connections"] == 1, "the engine has forgotten it")
            assert server.closed == []
        peer.close()


@OVER
async def test_what_the_older_one_still_sends_does_not_count(over: str, tls: Tls) -> None:
    server_options, options = options_of(over, tls)
    server = Book(**server_options)
    got: list[Any] = []
    server.on("note")(lambda conn, payload: got.append(payload))
    async with server:
        first = await Talk.open(server, **options)
        await first.ask("note", payload=1)
        second = await Talk.open(server, after=first, **options)
        assert second.welcome["received"] == 1
        for _ in range(3):
            # Its own close frame may have answered already.
            with contextlib.suppress(ConnectionClosed):
                await first.say("note", payload="late")
        assert await end_of(first) == (4503, "another connection uses this session")
        await second.ask("note", payload=2)
        assert got == [1, 2]
        second.cut()


async def test_a_handler_that_runs_meanwhile_goes_on_and_answers_the_newer_one() -> None:
    server = Book()
    go_on = asyncio.Event()

    @server.on("slow")
    async def slow(conn: fanwire.Connection, payload: Any) -> Any:
        await go_on.wait()
        return payload

    async with server:
        first = await Talk.open(server)
        name = await first.say("slow", payload="done")
        await until(lambda: server.opened and server.opened[0]._session.received == 1)
        async with await Talk.open(server, after=first) as second:
            assert await end_of(first) == (4503, "another connection uses this session")
            go_on.set()
            answer = await second.hear("reply")
            assert (answer["re"], answer["payload"]) == (name, "done")
            assert server.closed == []


@OVER
async def test_one_that_is_taken_over_before_it_has_begun_is_told_all_the_same(over: str, tls: Tls) -> None:
    server_options, options = options_of(over, tls)
    async with Book(**server_options) as server:
        first = await Talk.open(server, "/a", **options)
        await first.hear("joined")
        first.cut()
        await until(lambda: server.opened[0].is_reconnecting, "the session is parked")
        hold(server)
        peers: list[Peer] = []
        for _ in range(2):
            link = server.opened[0]._link
            peer = await server.dial(context=options.get("ssl"))
            await peer.send(request(f"/?session={first.session}&received={first.received}", SESSION))
            await until(lambda link=link: server.opened[0]._link != link, "the engine was asked")
            peers.append(peer)
        release(server)
        older, newer = peers
        assert (await older.response()).status == (await newer.response()).status == 101
        assert (await older.closed())[0] == 4503
        assert b'"resumed":true' in await newer.message()
        older.close()
        assert (server.opened[0].state, server.closed) == (ConnectionState.OPEN, [])
        newer.close()


async def test_a_takeover_that_is_refused_ends_the_session_with_the_same_word() -> None:
    async with Book() as server, await Talk.open(server, "/a") as first:
        await first.hear("joined")
        async with await Talk.open(server, f"/?session={first.session}&received=999") as second:
            assert (second.welcome["resumed"], second.welcome["reason"]) == (False, "overflow")
            assert await end_of(first) == (4503, "another connection uses this session")
            await server.ended()
            assert (await second.ask("nothing"))["payload"]["code"] == "unknown_type"


async def test_one_that_the_application_is_closing_keeps_its_own_close_frame() -> None:
    async with Book() as server, await Talk.open(server) as first:
        await until(lambda: server.opened)
        server.opened[0].close(4321, "enough")
        async with await Talk.open(server, after=first) as second:
            assert (second.welcome["resumed"], second.welcome["reason"]) == (False, "closed")
            assert await end_of(first) == (4321, "enough")


async def test_a_drain_waits_for_the_newer_one_and_not_for_the_older() -> None:
    server = Book({"close_timeout": 0.5})
    async with server:
        peer = await (await server.dial()).upgrade("/", SESSION)
        session = (await peer.message()).split(b'"session":"')[1].split(b'"')[0].decode()
        second = await Talk.open(server, f"/?session={session}&received=0")
        await within(server.stop(5.0))
        assert (await end_of(second))[0] == 1001
        peer.close()


async def test_a_client_that_goes_on_at_another_node_leaves_the_word_at_the_first() -> None:
    cluster = Cluster(MemoryBus(), None)
    async with cluster.node() as one, cluster.node() as two:
        first = await Talk.open(one, "/live.a")
        await first.hear("joined")
        # The record of a session follows the session by a moment.
        for _ in range(200):
            second = await Talk.open(two, f"/?session={first.session}&received=0")
            if second.welcome["reason"] == "other node":
                break
            second.cut()
            await asyncio.sleep(0.05)
        assert second.welcome["reason"] == "other node"
        assert await end_of(first) == (4503, "another connection uses this session")
        gone = await one.ended()
        assert (gone.close_code, one.count("live.a")) == (4503, 0)
        second.cut()
