"""New tokens of clients that stay: without sockets."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from helpers.hosted import Hosted
from helpers.played import Client
from helpers.wait import until

import fanwire

EXPIRES = time.time() + 3600


def known(request: fanwire.Request) -> Any:
    """Tokens are names, and may be followed by scopes."""
    name, *scopes = request.bearer.split(" ") if request.bearer else ["ann"]
    if name == "late":
        raise fanwire.Reject("maintenance", "not today", retry=True)
    return fanwire.Identity(subject=name, scopes=frozenset(scopes), expires=EXPIRES) if name != "nobody" else None


async def shown(client: Client, token: Any, id: str = "c1") -> dict[str, Any]:
    """The answer to a token."""
    return await client.asks({"type": "token", "id": id, "payload": {"token": token}})


async def test_a_new_token_brings_its_rights() -> None:
    host = Hosted(known)
    host.room("r", join="scope:read")
    client = await host.connect()
    join = {"type": "join", "id": "c2", "room": "r"}
    assert (await client.asks(join))["payload"]["code"] == "forbidden"
    answer = await shown(client, "ann read")
    assert answer["type"] == "reply"
    assert 0 < answer["payload"]["expires_in_ms"] <= 3_600_000
    assert (await client.asks(join))["type"] == "joined"
    # And takes them away again.
    told = await client.says({"type": "token", "id": "c3", "payload": {"token": "ann"}})
    assert sorted(each["type"] for each in told) == ["left", "reply"]
    assert host.engine.members("r") == 0
    await host.end()


@pytest.mark.parametrize("token", ["bob", "nobody", "\N{SNOWMAN}", "a\nb"])
async def test_a_token_that_is_not_the_clients_changes_nothing(token: str) -> None:
    host = Hosted(known)
    client = await host.connect()
    answer = await shown(client, token)
    assert (answer["payload"]["code"], answer["payload"]["retry"]) == ("unauthorized", False)
    (connection,) = host.registry.connections.values()
    assert connection.identity.subject == "ann"
    assert client.farewell is None
    await host.end()


async def test_the_application_may_say_why() -> None:
    host = Hosted(known)
    client = await host.connect()
    assert (await shown(client, "late"))["payload"] == {"code": "maintenance", "text": "not today", "retry": True}
    await host.end()


@pytest.mark.parametrize("token", ["", 7, "x" * 8193])
async def test_what_is_no_token(token: Any) -> None:
    host = Hosted(known)
    client = await host.connect()
    answer = await shown(client, token)
    assert (answer["payload"]["code"], answer["payload"]["path"]) == ("invalid_payload", "$.token")
    await host.end()


async def test_tokens_have_a_rate() -> None:
    host = Hosted(known)
    client = await host.connect()
    codes = [(await shown(client, "ann", f"c{number}"))["payload"].get("code") for number in range(100)]
    first = codes.index("rate_limited")
    assert first >= 10
    assert set(codes[:first]) == {None}
    await host.end()


async def test_a_token_of_a_client_that_has_left_meanwhile_begins_no_timer() -> None:
    answers: list[asyncio.Future[fanwire.Identity]] = []

    async def authenticate(request: fanwire.Request) -> fanwire.Identity:
        if request.renewal is None:
            return fanwire.Identity(subject="ann", expires=EXPIRES)
        answers.append(asyncio.get_running_loop().create_future())
        return await answers[-1]

    host = Hosted(authenticate)
    client = await host.connect()
    await client.says({"type": "token", "id": "c1", "payload": {"token": "new"}})
    await until(lambda: answers)
    await client.closes()
    await until(lambda: not host.registry.connections)
    answers[0].set_result(fanwire.Identity(subject="ann", expires=EXPIRES))
    await host.settle()
    assert not host.registry.lifetimes._lives
    await host.end()
