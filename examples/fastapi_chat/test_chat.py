"""The chat, as its users see it: over HTTP and over WebSockets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import chat
import pytest

import fanwire
from fanwire.testing import FakeClock, FaultProxy, ServerRun, expect, until


@pytest.fixture
def fanwire_application() -> fanwire.Server:
    """The server that the fixtures start, at a free port."""
    return chat.server


@pytest.fixture
async def http(fanwire_run: ServerRun) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(fanwire_run.http_url) as session:
        yield session


async def token_of(http: aiohttp.ClientSession, name: str) -> str:
    async with http.post("/login", json={"name": name, "password": chat.PASSWORDS[name]}) as answer:
        return str((await answer.json())["token"])


async def test_two_users_talk(fanwire_run: ServerRun, http: aiohttp.ClientSession) -> None:
    alice = await fanwire_run.client(token=await token_of(http, "alice"))
    bob = await fanwire_run.client(token=await token_of(http, "bob"))
    theirs = await alice.join("chat.tea"), await bob.join("chat.tea")
    await alice.request("say", {"room": "chat.tea", "text": "Why is a raven like a writing desk?"})
    for room in theirs:
        await expect(room).to_receive({"name": "alice", "text": "Why is a raven like a writing desk?"})
    assert sorted(info["name"] for info in (await alice.presence("chat.tea")).values()) == ["alice", "bob"]


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_a_wrong_password_is_refused(http: aiohttp.ClientSession, password: str) -> None:
    for name in ("alice", "nobody"):
        async with http.post("/login", json={"name": name, "password": password}) as answer:
            assert answer.status == 401


async def test_without_a_login_nobody_comes_in(fanwire_run: ServerRun, http: aiohttp.ClientSession) -> None:
    with pytest.raises(fanwire.ConnectionFailed) as refused:
        await fanwire_run.client()
    assert refused.value.status == 401
    async with http.get("/rooms") as answer:
        assert answer.status == 401


async def test_a_line_that_is_wrong_reaches_nobody(fanwire_run: ServerRun) -> None:
    # The identity of a client can be given: this test is not about the login.
    client = await fanwire_run.client("alice")
    room = await client.join("chat.tea")
    for line in (
        {"room": "chat.tea", "text": ""},
        {"room": "chat.tea", "text": "x" * 301},
        {"room": "secret", "text": "x"},
    ):
        with pytest.raises(fanwire.RequestFailed, match="invalid_payload"):
            await client.request("say", line)
    with pytest.raises(fanwire.RequestFailed, match="not_a_member"):
        await client.request("say", {"room": "chat.garden", "text": "hello"})
    await expect(room).to_receive_nothing()


async def test_an_announcement_is_in_every_room(fanwire_run: ServerRun, http: aiohttp.ClientSession) -> None:
    client = await fanwire_run.client("bob")
    await client.join("chat.tea")
    await client.join("chat.garden")
    bearer = {"Authorization": f"Bearer {await token_of(http, 'alice')}"}
    async with http.get("/rooms", headers=bearer) as answer:
        assert await answer.json() == {"chat.tea": 1, "chat.garden": 1}
    async with http.post("/announcements", params={"text": "closing soon"}, headers=bearer) as answer:
        assert answer.status == 200
    for name in ("chat.tea", "chat.garden"):
        published = fanwire_run.published.room(name)
        await expect(published).to_receive({"name": "announcement", "text": "closing soon"})


async def test_a_lost_connection_loses_no_line(fanwire_run: ServerRun, fanwire_proxy: FaultProxy) -> None:
    alice = await fanwire_run.client("alice")
    bob = await fanwire_run.client("bob", url=fanwire_proxy.url)
    await alice.join("chat.tea")
    room = await bob.join("chat.tea")
    fanwire_proxy.cut()
    for number in range(3):
        await alice.request("say", {"room": "chat.tea", "text": f"line {number}"})
    await expect(room).to_receive(*({"name": "alice", "text": f"line {number}"} for number in range(3)))


async def test_who_does_not_come_back_leaves_the_room(
    fanwire_run: ServerRun, fanwire_proxy: FaultProxy, fanwire_clock: FakeClock
) -> None:
    alice = await fanwire_run.client("alice")
    bob = await fanwire_run.client("bob", url=fanwire_proxy.url)
    room = await alice.join("chat.tea")
    await bob.join("chat.tea")
    fanwire_proxy.refuse()
    fanwire_proxy.cut()
    await until(lambda: any(conn.is_reconnecting for conn in chat.server.connections))
    await until(lambda: room.count == 2, "alice has heard of bob")
    await fanwire_clock.advance(chat.server.config.grace + 1)
    await until(lambda: room.count == 1, "only alice is there")


async def test_a_login_ends_when_its_token_has_expired(
    fanwire_run: ServerRun, http: aiohttp.ClientSession, fanwire_clock: FakeClock
) -> None:
    once = await fanwire_run.client(token=await token_of(http, "alice"))
    fresh = fanwire.Identity(subject="bob", expires=fanwire_clock.time() + 10 * chat.LIFETIME)
    other = await fanwire_run.client(fresh)
    await fanwire_clock.advance(chat.LIFETIME + chat.server.config.token_grace + 1)
    await until(lambda: once.state is fanwire.ConnectionState.CLOSED)
    assert other.state is fanwire.ConnectionState.OPEN
