"""Joins by the application, where a room has to be prepared first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.hosted import Hosted

from fanwire.backplane.base import Unavailable
from fanwire.rooms import application_rooms as module


@pytest.fixture
def prepared(host: Hosted, monkeypatch: pytest.MonkeyPatch) -> list[asyncio.Future[None]]:
    """What joins of rooms with a history wait for, in order."""
    waits: list[asyncio.Future[None]] = []

    def prepare(*args: Any) -> asyncio.Future[None]:
        waits.append(asyncio.get_running_loop().create_future())
        return waits[-1]

    monkeypatch.setattr(host.node, "prepare", prepare)
    monkeypatch.setattr(module, "AGAIN", 0.0)
    host.room("kept", history=10)
    return waits


async def test_it_joins_when_the_room_is_prepared(host: Hosted, prepared: list[asyncio.Future[None]]) -> None:
    await host.connect()
    (connection,) = host.registry.connections.values()
    assert connection.join("plain") == 0
    assert connection.join("kept") is None
    await host.settle()
    assert connection.rooms == {"plain"}
    prepared[0].set_result(None)
    await host.settle()
    assert connection.rooms == {"plain", "kept"}


async def test_a_leave_takes_the_join_back(host: Hosted, prepared: list[asyncio.Future[None]]) -> None:
    await host.connect()
    (connection,) = host.registry.connections.values()
    connection.join("kept")
    connection.leave("kept")
    prepared[0].set_result(None)
    await host.settle()
    assert connection.rooms == set()


async def test_it_tries_again_while_the_backplane_is_away(host: Hosted, prepared: list[asyncio.Future[None]]) -> None:
    await host.connect()
    (connection,) = host.registry.connections.values()
    connection.join("kept")
    prepared[0].set_exception(Unavailable("it is away"))
    await host.settle()
    assert len(prepared) == 2
    prepared[1].set_result(None)
    await host.settle()
    assert connection.rooms == {"kept"}


@pytest.mark.logs_errors
async def test_another_error_closes_the_connection(host: Hosted, prepared: list[asyncio.Future[None]]) -> None:
    await host.connect()
    (connection,) = host.registry.connections.values()
    connection.join("kept")
    prepared[0].set_exception(ZeroDivisionError())
    await host.settle()
    assert host.errors == ["Connection.join"]
    assert connection.close_code == 1011
    host.errors.clear()
