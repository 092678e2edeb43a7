"""The steps of an end."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.hosted import Hosted
from helpers.wait import within

import fanwire
from fanwire.timing.deadline import Deadline


async def test_every_part_forgets_the_connection() -> None:
    host = Hosted(lambda request: "ann")
    seen: list[Any] = []
    host.on_disconnect(seen.append)
    client = await host.connect()
    (connection,) = host.registry.connections.values()
    connection.join("a")
    host.registry.ended(connection, "closed")
    host.registry.ended(connection, "closed")
    assert client.session is not None
    assert host.registry.sessions.find(client.session) is None
    assert host.registry.users.of("ann") == []
    assert connection.rooms == set()
    assert (connection.close_code, connection.closed_by) == (1006, "network")
    assert seen == [connection]
    await within(host.registry.endings.wait(Deadline(0)))
    await host.end()


@pytest.mark.logs_errors
async def test_a_step_that_fails_does_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError

    host = Hosted()
    seen: list[fanwire.Connection] = []
    host.on_disconnect(seen.append)
    client = await host.connect()
    (connection,) = host.registry.connections.values()
    monkeypatch.setattr(host.registry.lifetimes, "end", fail)
    host.registry.ended(connection, "closed")
    assert host.errors == ["end of a connection"]
    assert client.session is not None
    assert host.registry.sessions.find(client.session) is None
    assert seen == [connection]
    await host.end()
