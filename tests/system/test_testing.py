"""Whole servers under `fanwire.testing`: started for a test, with its clients, behind its proxy, on its clock."""

from __future__ import annotations

import asyncio
import threading
import unittest
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import websockets
from helpers.wait import DEADLINE, within

import fanwire
from fanwire import testing
from fanwire.auth import JWT, Keys
from fanwire.testing import FakeClock, FaultProxy, RawClient, ServerRun, received, running

SECRET = "0123456789abcdef0123456789abcdef"
expect, until = partial(testing.expect, within=DEADLINE), partial(testing.until, seconds=DEADLINE)
"""A busy machine has more time than users of these."""
SELDOM = 100_000.0
"""Seconds of a heartbeat that never comes: the engine may answer too late for a clock that is set ahead."""
OPEN, AWAY = fanwire.ConnectionState.OPEN, fanwire.ConnectionState.RECONNECTING


def application(**options: Any) -> fanwire.Server:
    """A server with an address and an authenticator of its own, which knows nobody."""
    server = fanwire.Server("192.0.2.1", 1, **{"authenticate": lambda request: None, **options})
    server.room("chat", publish=True, presence=True, history=100)
    server.room("mine.*", join="subject")
    server.room("trades", publish="scope:trade")
    return server


@pytest.fixture
async def run() -> AsyncIterator[ServerRun]:
    async with running(application()) as run:
        yield run


async def test_a_server_is_afterwards_as_it_was_before() -> None:
    server = application()
    before = dict(vars(server))
    for _ in range(2):
        async with running(server) as run:
            assert server.host == "127.0.0.1"
            assert server.port
            assert run.url == f"ws://127.0.0.1:{server.port}"
            with pytest.raises(RuntimeError, match="the server runs already"):
                await running(server).__aenter__()
        assert vars(server) == before
    assert (server.host, server.port) == ("192.0.2.1", 1)


async def test_an_application_is_no_server() -> None:
    app: Any = object()
    with pytest.raises(TypeError, match="server must be"):
        await running(app).__aenter__()


async def test_a_server_stops_if_the_test_fails() -> None:
    server, clients = application(), []

    async def fails() -> None:
        async with running(server) as run:
            clients.append(await run.client("alice"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    (client,) = clients
    assert client.state is fanwire.ConnectionState.CLOSED
    assert not server.connections
    await server.stop()


async def test_clients_have_the_identity_that_the_test_gives_them(run: ServerRun) -> None:
    alice = await run.client("alice")
    trader = await run.client(fanwire.Identity(subject="bob", scopes=frozenset({"trade"})), encoding="msgpack")
    await alice.join("mine.alice")
    assert await trader.publish("trades", 1) == 1
    with pytest.raises(fanwire.RequestFailed, match="forbidden"):
        await alice.publish("trades", 1)
    raw = await run.raw_client("carol")
    assert sorted(conn.identity.subject for conn in run.server.connections) == ["alice", "bob", "carol"]
    await raw.close()
    assert raw.close_code == 1000


async def test_without_an_identity_the_application_decides() -> None:
    users = JWT(Keys.secret(SECRET), algorithms=["HS256"])
    async with running(application(authenticate=users)) as run:
        with pytest.raises(fanwire.ConnectionFailed) as refused:
            await run.client()
        assert refused.value.status == 401
        with pytest.raises(websockets.InvalidStatus):
            await run.raw_client(token="wrong")
        with pytest.raises(TypeError, match="an identity or a token, not both"):
            await run.client("alice", token="x")
        with pytest.raises(TypeError, match="an identity or a token, not both"):
            await run.raw_client("alice", token="x")
        await run.client("alice")
        async with fanwire.connect(run.url, token=run.token("bob")) as client:
            await client.join("mine.bob")


async def test_a_raw_client_is_read_like_a_room() -> None:
    server, heard = application(), []
    server.on_message(lambda conn, data: heard.append(data))
    server.on_connect(lambda conn: conn.join("chat"))
    async with running(server) as run:
        raw = await run.raw_client("alice")
        await raw.send("to the server")
        await until(lambda: heard == ["to the server"])
        server.publish("chat", {"a": 1})
        server.publish("chat", b"\x00")
        await expect(raw).to_receive('{"a":1}', b"\x00")
        await expect(raw).to_receive_nothing()
        server.disconnect_user("alice")
        await expect(raw).to_end()
        assert raw.close_code == 4502
        with pytest.raises(RuntimeError, match="not connected"):
            await RawClient(run.url).send("x")


async def test_what_is_published_is_seen_whoever_publishes_it() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while scope["type"] == "lifespan":
            what = (await receive())["type"]
            if what == "lifespan.startup":
                server.publish("chat", "at the start")
            await send({"type": f"{what}.complete"})
            if what == "lifespan.shutdown":
                return

    server = application(app=app)
    async with running(server) as run:
        chat = run.published.room("chat")
        await expect(chat).to_receive("at the start")
        client = await run.client("alice")
        await client.publish("chat", {"by": "a client"})
        thread = threading.Thread(target=server.publish, args=("chat", "by a thread"))
        thread.start()
        await server.publish_acked("chat", b"acked")
        await expect(chat).to_receive_in_any_order({"by": "a client"}, "by a thread", b"acked")
        thread.join()
        await expect(chat).to_receive_nothing(seconds=0.02)
        assert len(chat.data) == len(run.published) == 4


async def test_a_room_that_ends_is_seen(run: ServerRun) -> None:
    client = await run.client("alice")
    room = await client.join("chat")
    run.server.publish("chat", 1)
    await until(lambda: room._feed.queue, "it has come")
    assert await received(room) == [1]
    run.server.remove("chat", "alice", reason="closed for today")
    ended = await expect(room).to_end("removed")
    assert ended is not None
    assert ended.text == "closed for today"


# The proxy.


async def test_a_cut_client_comes_back_and_misses_nothing(run: ServerRun) -> None:
    proxy = await run.proxy()
    client = await run.client("alice", url=proxy.url)
    room = await client.join("chat")
    for reset in (False, True):
        assert proxy.connections == 1
        assert proxy.cut(reset=reset) == 1
        run.server.publish("chat", reset)
        await expect(room).to_receive(reset)
    proxy.cut_after(20)
    for number in range(3):
        run.server.publish("chat", number)
    await expect(room).to_receive(0, 1, 2)


async def test_a_paused_proxy_loses_nothing(run: ServerRun) -> None:
    proxy = await run.proxy()
    room = await (await run.client("alice", url=proxy.url)).join("chat")
    proxy.pause()
    run.server.publish("chat", 1)
    await expect(room).to_receive_nothing()
    proxy.resume()
    await expect(room).to_receive(1)


async def test_upgrades_that_are_refused_lead_to_the_next_transport(run: ServerRun) -> None:
    proxy = await run.proxy()
    proxy.refuse_upgrades()
    client = await run.client("alice", url=proxy.url)
    assert client.transport == "sse"
    with pytest.raises(websockets.InvalidStatus, match="403"):
        await run.raw_client("bob", url=proxy.url)
    proxy.heal()
    assert (await run.client("carol", url=proxy.url)).transport == "websocket"


async def test_a_proxy_that_refuses_hides_the_server_until_it_is_healed(run: ServerRun) -> None:
    proxy = await run.proxy()
    client = await run.client("alice", url=proxy.url)
    proxy.refuse()
    proxy.cut()
    await until(lambda: client.state is AWAY)
    with pytest.raises(fanwire.ConnectionFailed):
        await run.client("bob", url=proxy.url)
    proxy.heal()
    await until(lambda: client.state is OPEN, "the client is back")


async def test_a_slow_network_delivers_all(run: ServerRun) -> None:
    proxy = await run.proxy()
    room = await (await run.client("alice", url=proxy.url)).join("chat")
    proxy.delay(0.02, jitter=0.02)
    proxy.throttle(100_000)
    for number in range(20):
        run.server.publish("chat", [number, "x" * 100])
    await expect(room).to_receive(*([number, "x" * 100] for number in range(20)))
    proxy.throttle(None)


def test_a_proxy_needs_a_server_with_a_port() -> None:
    with pytest.raises(ValueError, match=r"must have a host and a port.*got 'ws://example\.com'"):
        FaultProxy("ws://example.com")
    with pytest.raises(fanwire.Closed):
        FaultProxy(fanwire.Server(port=0, insecure=True))


# The clock.


async def test_a_session_is_kept_for_its_grace_period_and_no_longer() -> None:
    with FakeClock() as clock:
        async with running(application(config=fanwire.Config(grace=120))) as run:
            proxy = await run.proxy()
            client = await run.client("alice", url=proxy.url)
            room = await client.join("chat")
            session = client.session
            proxy.refuse()
            proxy.cut()
            await until(lambda: run.server.connections[0].is_reconnecting)
            await clock.advance(110)
            assert [conn.session for conn in run.server.connections] == [session]
            await clock.advance(11)
            assert not run.server.connections
            run.server.publish("chat", "missed by the session")
            proxy.heal()
            await clock.advance(60)
            await until(lambda: client.state is OPEN)
            # The history of the room has it.
            await expect(room).to_receive("missed by the session")
            assert client.session != session


async def test_an_identity_expires_after_its_notice_and_its_grace() -> None:
    with FakeClock() as clock:
        async with running(application()) as run:
            tokens = [run.token(fanwire.Identity(subject="alice", expires=clock.time() + 600))]
            renewing = await run.client(token=lambda: tokens[-1], heartbeat=SELDOM)
            ending = await run.client(fanwire.Identity(subject="bob", expires=clock.time() + 600), heartbeat=SELDOM)
            tokens.append(run.token(fanwire.Identity(subject="alice", expires=clock.time() + 10_000)))
            await clock.advance(580)
            assert ending.state is OPEN
            await clock.advance(31)
            await until(lambda: ending.state is fanwire.ConnectionState.CLOSED)
            assert isinstance(ending.error, fanwire.ConnectionFailed)
            assert ending.error.code == 4501
            assert renewing.state is OPEN


async def test_a_token_of_jwt_expires() -> None:
    import jwt

    users = JWT(Keys.secret(SECRET), algorithms=["HS256"])
    with FakeClock() as clock:
        async with running(application(authenticate=users)) as run:
            token = jwt.encode({"sub": "alice", "exp": int(clock.time()) + 300}, SECRET, "HS256")
            await run.client(token=token, heartbeat=SELDOM)
            await clock.advance(320)
            with pytest.raises(fanwire.ConnectionFailed) as refused:
                await run.client(token=token)
            assert refused.value.status == 401


async def test_a_silent_network_is_noticed_by_the_clients_heartbeat() -> None:
    with FakeClock() as clock:
        async with running(application()) as run:
            proxy = await run.proxy()
            client = await run.client("alice", url=proxy.url, heartbeat=20)
            heartbeat = client._runtime.machine._heartbeat
            for _ in range(4):
                # The server answers pings of the client, so silence of the application is no end.
                await clock.advance(25)
                await until(lambda: heartbeat._asked is None, "the ping is answered")
            # What is heard last is this answer, and not one to a ping, which may still be on its way.
            await client.publish("chat", 1)
            assert client.state is OPEN
            proxy.pause()
            await clock.advance(35)
            assert client.state is OPEN
            await clock.advance(6)
            assert client.state is AWAY


async def test_no_socket_is_waited_for_while_a_server_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    # Else an hour would take minutes, and more steps than one call may have.
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("fanwire.testing.fake_clock.pause", pause)
    with FakeClock() as clock:
        async with running(application()):
            await clock.advance(1200)
    assert len(pauses) < 100


async def test_an_id_of_a_message_is_remembered_for_two_minutes() -> None:
    with FakeClock() as clock:
        async with running(application()) as run:
            first = await run.server.publish_acked("chat", 1, id="order-1")
            await clock.advance(110)
            assert await run.server.publish_acked("chat", 1, id="order-1") == first
            await clock.advance(11)
            assert await run.server.publish_acked("chat", 1, id="order-1") == first + 1


async def test_an_answer_of_authorize_is_kept_for_five_minutes() -> None:
    asked: list[str] = []

    def authorize(identity: Any, action: str, room: str) -> bool:
        asked.append(action)
        return True

    with FakeClock() as clock:
        async with running(application(authorize=authorize)) as run:
            client = await run.client("alice", heartbeat=SELDOM)
            await client.publish("chat", 1)
            await clock.advance(290)
            await client.publish("chat", 2)
            assert asked == ["publish"]
            await clock.advance(11)
            await client.publish("chat", 3)
            assert asked == ["publish", "publish"]


class WithoutFixtures(unittest.IsolatedAsyncioTestCase):
    """The same in the standard library's form."""

    async def test_a_server_and_its_clients(self) -> None:
        clock = self.enterContext(FakeClock()) if hasattr(self, "enterContext") else None
        run = await self._entered(running(application()))
        room = await (await run.client("alice")).join("chat")
        run.server.publish("chat", 1)
        await expect(room).to_receive(1)
        if clock is not None:
            await clock.advance(1)

    async def _entered(self, context: Any) -> Any:
        value = await context.__aenter__()
        self.addAsyncCleanup(context.__aexit__, None, None, None)
        return value


async def test_a_failed_expectation_of_a_room_shows_both_sides(run: ServerRun) -> None:
    room = await (await run.client("alice")).join("chat")
    run.server.publish("chat", {"eur": 1.08})
    await until(lambda: room._feed.queue, "the first has come")
    with pytest.raises(AssertionError) as error:
        await within(expect(room, within=0.1).to_receive({"eur": 1.08}, {"eur": 1.09}))
    assert str(error.value).splitlines() == [
        "room 'chat': only 1 of 2 came within 0.1 s",
        "  expected: {'eur': 1.08}, {'eur': 1.09}",
        "  received: {'eur': 1.08}",
        "  missing:  {'eur': 1.09}",
    ]


async def test_an_expectation_waits_by_the_systems_clock() -> None:
    with FakeClock() as clock:
        async with running(application()) as run:
            room = await (await run.client("alice", heartbeat=SELDOM)).join("chat")
            waiting = asyncio.ensure_future(expect(room, within=30).to_receive(1))
            await clock.advance(60)
            assert not waiting.done()
            run.server.publish("chat", 1)
            await within(waiting)
