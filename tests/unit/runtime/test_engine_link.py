"""What one link brings, and how it closes: without sockets."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.hosted import Hosted

import fanwire


@pytest.fixture
def host(host: Hosted) -> Hosted:
    """One with an echo."""
    host.on("echo")(lambda conn, payload: payload)
    return host


def payloads(envelopes: list[dict[str, Any]]) -> list[Any]:
    return [envelope["payload"] for envelope in envelopes]


async def test_a_client_that_closes_ends_its_session(host: Hosted) -> None:
    client = await host.connect()
    await client.joins("r")
    await client.closes(1000, "done")
    assert (client.farewell, client.link.is_over) == ((1000, "done"), True)
    assert host.engine.members("r") == 0
    assert not host.registry.connections
    assert (await host.resume(client)).welcome["reason"] == "closed"


@pytest.mark.parametrize("code", [4000, 4499])
async def test_a_code_of_one_that_comes_back_parks_the_session(host: Hosted, code: int) -> None:
    client = await host.connect()
    await client.closes(code, "soon")
    assert client.farewell == (code, "soon")
    assert (await host.resume(client)).welcome["resumed"]


async def test_what_the_old_link_still_says_does_not_count(host: Hosted) -> None:
    client = await host.connect()
    back = await host.resume(client)
    await client.says({"type": "echo", "id": "late", "payload": "late"})
    assert await back.hears() == []
    assert (await back.says({"type": "ping"}))[1]["payload"] == {"count": 0}


async def test_a_client_that_breaks_a_rule_is_closed_after_the_answers_to_what_came_before(host: Hosted) -> None:
    client = await host.connect()
    client.link.says('{"type":"echo","id":"c1","payload":1}')
    client.link.breaks(1002, "a frame is not masked")
    assert payloads(await client.hears()) == [1]
    assert client.farewell == (1002, "a frame is not masked")
    assert not host.registry.connections


async def test_a_connection_that_does_not_answer_a_close_ends_all_the_same(host: Hosted) -> None:
    ended: list[fanwire.Connection] = []
    host.on_disconnect(ended.append)
    host.on_connect(lambda conn: conn.close(1000, "bye"))
    link = host.engine.ask(subprotocol="fanwire.v1.json", answers=False)
    await host.settle()
    assert link.farewell == (1000, "bye")
    assert not ended
    host.engine.let_close_timeout_pass()
    await host.settle()
    assert [(connection.close_code, connection.closed_by) for connection in ended] == [(1000, "server")]
