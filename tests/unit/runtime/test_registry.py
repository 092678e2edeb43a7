"""Handlers of the application, in which order they are called, and what becomes of their errors: without sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from helpers.hosted import Hosted

import fanwire


async def test_handlers_of_one_client_do_not_wait_for_those_of_another(host: Hosted) -> None:
    gates = {"a": asyncio.Event(), "b": asyncio.Event()}

    @host.on("wait")
    async def wait(conn: fanwire.Connection, name: str) -> str:
        await gates[name].wait()
        return name

    first, second = await host.connect(), await host.connect()
    await first.says({"type": "wait", "id": "c1", "payload": "a"})
    await second.says({"type": "wait", "id": "c1", "payload": "b"})
    gates["b"].set()
    assert [each["payload"] for each in await second.hears()] == ["b"]
    assert await first.hears() == []
    gates["a"].set()
    assert [each["payload"] for each in await first.hears()] == ["a"]


@pytest.mark.logs_errors
async def test_a_handler_of_a_client_without_a_session_that_fails_closes_it() -> None:
    host = Hosted()

    def fail(conn: fanwire.Connection, payload: Any) -> None:
        raise KeyError("secret")

    host.on_message(fail)
    raw = await host.connect(codec=None)
    raw.link.says("text")
    await host.settle()
    assert raw.farewell == (1011, "internal error")
    await host.end()


async def test_handlers_are_called_in_the_order_in_which_things_happen(host: Hosted) -> None:
    seen: list[str] = []

    @host.on_connect
    async def connected(conn: fanwire.Connection) -> None:
        await asyncio.sleep(0)
        seen.append("connected")

    host.on("note")(lambda conn, payload: seen.append(payload))
    host.on_disconnect(lambda conn: seen.append(f"disconnected {conn.close_code} {conn.closed_by}"))
    client = await host.connect()
    for payload in ("a", "b"):
        client.link.says(msgspec.json.encode({"type": "note", "payload": payload}).decode())
    await client.closes(1000)
    assert seen == ["connected", "a", "b", "disconnected 1000 client"]


async def test_a_slow_client_is_closed_and_its_session_is_over() -> None:
    host = Hosted(connection_bytes=10_000)
    host.room("r")
    client = await host.connect()
    await client.joins("r")
    client.link.stalls()
    for _ in range(3):
        host.publish("r", "x" * 5_000)
    await host.settle()
    (connection,) = host.registry.connections.values()
    assert (connection.close_code, host.passed) == (4008, ["connection_bytes"])
    client.link.reads()
    await host.settle()
    assert client.farewell == (4008, "too slow, reconnect")
    assert (await host.resume(client)).welcome["reason"] == "overflow"
    await host.end()


async def test_a_session_whose_client_is_away_for_too_much_is_over() -> None:
    host = Hosted(connection_bytes=10_000)
    host.room("r")
    client = await host.connect()
    await client.joins("r")
    await client.leaves()
    for _ in range(3):
        host.publish("r", "x" * 5_000)
    await host.settle()
    assert not host.registry.connections
    assert (await host.resume(client)).welcome["reason"] == "overflow"
    await host.end()


async def test_a_peer_that_is_not_let_in() -> None:
    def authenticate(request: fanwire.Request) -> Any:
        raise fanwire.Refused(403, "no")

    host = Hosted(authenticate)
    client = await host.connect()
    assert client.link.refusal == (403, [], "no")
    assert not host.registry.connections
    await host.end()


async def test_a_peer_that_goes_before_it_was_let_in(host: Hosted) -> None:
    link = host.engine.ask(subprotocol="fanwire.v1.json")
    link.leaves()
    await host.settle()
    assert not host.registry.connections


@pytest.mark.parametrize("is_away", [False, True])
async def test_a_user_that_is_sent_away_while_the_engine_decides_is_not_let_in(
    host: Hosted, monkeypatch: pytest.MonkeyPatch, is_away: bool
) -> None:
    client = await host.connect("/ann")
    if is_away:
        await client.leaves()
    returning = host.registry.returning

    def sent_away(link: Any) -> None:
        returning(link)
        host.registry.revocation.disconnect_user("ann", "bye")

    monkeypatch.setattr(host.registry, "returning", sent_away)
    # The engine does not know so many messages: it lets the client begin anew.
    back = await host.connect(f"/ann?session={client.session}&received=99")
    await host.settle()
    assert back.farewell == (4502, "the user was disconnected")
    await back.leaves()
    assert not host.registry.connections


async def test_a_client_that_comes_back_while_the_server_stops_is_closed(
    host: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await host.connect("/ann")
    await client.leaves()
    returning = host.registry.returning

    def stopped(link: Any) -> None:
        returning(link)
        host.registry.stop_waiting()

    monkeypatch.setattr(host.registry, "returning", stopped)
    back = await host.connect(f"/ann?session={client.session}&received=99")
    await host.settle()
    assert back.farewell == (1001, "the server is shutting down")


async def test_a_client_that_was_back_is_waited_for_anew(host: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[Any] = []
    client = await host.connect("/ann")
    await client.leaves()
    (connection,) = host.registry.connections.values()
    with monkeypatch.context() as during:
        # Its grace is over, and many others wait for their turn.
        during.setattr(host.host.slices, "put", lambda call, *args: waiting.append((call, args)))
        host.registry._give_up(connection, "expired")
    back = await host.connect(f"/ann?session={client.session}&received=0")
    assert back.welcome["resumed"]
    await back.leaves()
    for call, args in waiting:
        call(*args)
    assert connection.is_reconnecting
