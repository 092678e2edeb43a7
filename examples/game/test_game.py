"""The rules, the lobby, and whole games, on a clock that is advanced from tick to tick."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from game import GRACE, LONGEST, TICK, Lobby, make_server
from world import GOAL, World

import fanwire
from fanwire.testing import FakeClock, FaultProxy, ServerRun, expect, until


@pytest.fixture
async def parts() -> AsyncIterator[tuple[fanwire.Server, Lobby]]:
    server, lobby = make_server()
    yield server, lobby
    await lobby.stop()


@pytest.fixture
def fanwire_application(parts: tuple[fanwire.Server, Lobby]) -> fanwire.Server:
    return parts[0]


@pytest.fixture
def lobby(parts: tuple[fanwire.Server, Lobby]) -> Lobby:
    return parts[1]


async def two(run: ServerRun) -> tuple[fanwire.Client, fanwire.Client, fanwire.Room]:
    """Two players in a game, and the room of the first."""
    red, blue = await run.client("red"), await run.client("blue")
    joined: list[fanwire.Room] = []
    red.on_room(joined.append)
    assert await red.request("play") == {"room": None}
    assert await blue.request("play") == {"room": "game.1"}
    await until(lambda: joined, "the server has joined the player")
    return red, blue, joined[0]


def test_a_player_who_stands_on_the_coin_takes_it() -> None:
    world = World()
    world.enter("red")
    world.enter("blue")
    world.steer("red", 1)
    for _ in range(10):
        assert world.players["red"].coins == 0
        world.tick()
    assert world.players["red"].coins == 1
    assert world.coin != 10
    assert world.winner is None


def test_nobody_leaves_the_line() -> None:
    world = World()
    world.enter("red")
    world.steer("red", -1)
    world.tick()
    assert world.players["red"].at == 0


async def test_the_world_moves_ten_times_a_second(fanwire_run: ServerRun, fanwire_clock: FakeClock) -> None:
    red, _, room = await two(fanwire_run)
    await red.request("steer", {"heading": 1})
    states = fanwire_run.published.room("game.1")
    await expect(states).to_reach(states.data[0])
    before = len(states.data)
    await fanwire_clock.advance(1.0)
    assert len(states.data) == before + 10
    assert states.data[-1]["players"]["red"]["at"] == states.data[-11]["players"]["red"]["at"] + 10
    await expect(room).to_reach(states.data[-1])


async def test_who_has_enough_coins_wins(fanwire_run: ServerRun, fanwire_clock: FakeClock, lobby: Lobby) -> None:
    red, blue, room = await two(fanwire_run)
    world = lobby.game_of(fanwire_run.server.connections[0]).world
    while world.winner is None:
        await red.request("steer", {"heading": 1 if world.coin > world.players["red"].at else -1})
        await fanwire_clock.advance(TICK)
    assert world.players["red"].coins == GOAL
    await expect(room).to_reach({"winner": "red"})
    with pytest.raises(fanwire.RequestFailed, match="not_playing"):
        await blue.request("steer", {"heading": 1})
    assert await blue.request("play") == {"room": None}


async def test_a_game_in_which_nothing_happens_ends(fanwire_run: ServerRun, fanwire_clock: FakeClock) -> None:
    await two(fanwire_run)
    await fanwire_clock.advance(LONGEST + TICK)
    assert fanwire_run.published.room("game.1").data[-1] == {"winner": None}


async def test_a_player_who_is_away_for_a_moment_plays_on(fanwire_run: ServerRun, fanwire_proxy: FaultProxy) -> None:
    red = await fanwire_run.client("red", url=fanwire_proxy.url)
    await red.request("play")
    fanwire_proxy.cut()
    assert await (await fanwire_run.client("blue")).request("play") == {"room": "game.1"}
    await red.request("steer", {"heading": 1})


async def test_a_player_who_does_not_come_back_leaves_the_game(
    fanwire_run: ServerRun, fanwire_proxy: FaultProxy, fanwire_clock: FakeClock, lobby: Lobby
) -> None:
    red, blue = await fanwire_run.client("red"), await fanwire_run.client("blue", url=fanwire_proxy.url)
    for player in (red, blue):
        await player.request("play")
    world = lobby.game_of(fanwire_run.server.connections[0]).world
    fanwire_proxy.refuse()
    fanwire_proxy.cut()
    await until(lambda: any(conn.is_reconnecting for conn in fanwire_run.server.connections))
    assert list(world.players) == ["red", "blue"]
    await fanwire_clock.advance(GRACE + 1)
    await until(lambda: list(world.players) == ["red"])


async def test_another_connection_of_a_player_is_not_the_player(fanwire_run: ServerRun, lobby: Lobby) -> None:
    await two(fanwire_run)
    world = lobby.game_of(fanwire_run.server.connections[0]).world
    async with fanwire.connect(fanwire_run.url, token=fanwire_run.token("red")):
        await until(lambda: len(fanwire_run.server.connections) == 3)
    await until(lambda: len(fanwire_run.server.connections) == 2)
    assert list(world.players) == ["red", "blue"]


async def test_a_wrong_request_is_refused(fanwire_run: ServerRun) -> None:
    client = await fanwire_run.client("red")
    await client.request("play")
    with pytest.raises(fanwire.RequestFailed, match="playing"):
        await client.request("play")
    with pytest.raises(fanwire.RequestFailed, match="not_playing"):
        await client.request("steer", {"heading": 1})
    with pytest.raises(fanwire.RequestFailed, match="invalid_payload"):
        await client.request("steer", {"heading": 2})
