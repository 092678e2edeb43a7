"""The rules, prediction over a late line, and players on two nodes, who are told of what is near."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from game import HZ, IDLE, Game, make_server
from load import Bot, report, ticks
from prediction import Prediction
from world import CELL, HYSTERESIS, RADIUS, ROCKS, SIZE, STEP, WAITING, Place, World, around, cell_of, step

import fanwire
from fanwire.backplane import MemoryBackplane, MemoryBus
from fanwire.testing import FakeClock, ServerRun, until

Start = Callable[[], Awaitable[ServerRun]]


@pytest.fixture
async def start(fanwire_start: Callable[..., Awaitable[ServerRun]]) -> AsyncIterator[Start]:
    """Starts a node of a cluster, with its gate."""
    bus = MemoryBus()
    tasks: list[asyncio.Task[None]] = []

    async def start() -> ServerRun:
        server, gate = make_server(backplane=MemoryBackplane(bus))
        run = await fanwire_start(server)
        tasks.append(asyncio.create_task(gate.follow(server)))
        await asyncio.wait_for(gate.is_following.wait(), 20)
        return run

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Play:
    """The game at a node, moved by the test."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.world = game.world
        self.listening = asyncio.create_task(game.listen())

    async def until(self, holds: Callable[[], object], what: str) -> None:
        """Ticks until something holds."""

        def tick() -> object:
            for player in self.world.players.values():
                player.idle = 0  # a slow machine makes nobody idle
            self.game.tick()
            return holds()

        await until(tick, what)


@pytest.fixture
async def play(start: Start) -> AsyncIterator[tuple[Play, ServerRun]]:
    run = await start()
    made = Play(Game(run.server, World(seed=1)))
    await asyncio.wait_for(made.game.is_listening.wait(), 20)
    yield made, run
    made.listening.cancel()
    await asyncio.gather(made.listening, return_exceptions=True)


class Guest:
    """A player, and what it has been told."""

    def __init__(self, client: fanwire.Client) -> None:
        self.client = client
        self.states: dict[str, dict[str, object]] = {}
        self.prediction = Prediction()
        self.id = ""
        client.on_room(self._found)
        self._tasks: list[asyncio.Task[None]] = []

    async def enter(self, name: str) -> Guest:
        self.id = (await self.client.request("enter", {"name": name}))["player"]
        return self

    async def go(self, dx: int, dy: int, count: int = 1) -> None:
        for _ in range(count):
            number = self.prediction.input(dx, dy)
            await self.client.request("walk", {"n": number, "dx": dx, "dy": dy})

    def sees(self, id: str) -> bool:
        return any(id in state["players"] for state in self.states.values())  # type: ignore[operator]  # a map

    def _found(self, room: fanwire.Room) -> None:
        self._tasks.append(asyncio.create_task(self._read(room)))

    async def _read(self, room: fanwire.Room) -> None:
        try:
            async for message in room:
                self.states[room.name] = message.data
                mine = message.data["players"].get(self.id)
                if mine is not None:
                    self.prediction.reconcile((mine[0], mine[1]), mine[2])
        except fanwire.FanwireError:
            pass
        self.states.pop(room.name, None)


def test_nobody_leaves_the_world_or_enters_a_rock() -> None:
    dice = random.Random(1)
    place: Place = (100.0, 100.0)
    for _ in range(3000):
        dx, dy = dice.randint(-1, 1), dice.randint(-1, 1)
        for _ in range(dice.randint(1, 40)):
            place = step(place, dx, dy)
            assert min(place) >= RADIUS
            assert max(place) <= SIZE - RADIUS
            for x, y, rock in ROCKS:
                assert (place[0] - x) ** 2 + (place[1] - y) ** 2 >= (rock + RADIUS - 0.001) ** 2


def test_who_walks_along_an_edge_stays_in_its_cell() -> None:
    before = cell_of((CELL - 1, 100.0))
    assert before == (0, 0)
    assert cell_of((CELL + HYSTERESIS - 1, 100.0), before) == (0, 0)
    assert cell_of((CELL + HYSTERESIS, 100.0), before) == (1, 0)
    assert cell_of((CELL + 1, 100.0), (1, 0)) == cell_of((CELL - 1, 100.0), (1, 0)) == (1, 0)


def test_the_cells_around_one() -> None:
    assert around((0, 0)) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert len(around((3, 4))) == 9
    assert all(max(cell) < SIZE / CELL for cell in around((9, 9)))


def test_inputs_are_done_once_and_in_order_however_often_they_come() -> None:
    world = World(seed=3)
    world.enter("a", "a")
    player = world.players["a"]
    player.place = (100.0, 100.0)
    for number in (1, 2, 1, 2, 3):
        world.input("a", number, 1, 0)
    world.input("nobody", 1, 1, 1)
    for _ in range(5):
        world.advance()
    assert (player.done, player.place) == (3, (100.0 + 3 * STEP, 100.0))


def test_nobody_is_faster_by_sending_more() -> None:
    world = World(seed=3)
    world.enter("a", "a")
    player = world.players["a"]
    player.place = (100.0, 100.0)
    for number in range(1, 200):
        world.input("a", number, 100, 0)
    assert len(player.inputs) == WAITING
    world.advance()
    assert player.place[0] <= 100 + 2 * STEP


def test_prediction_is_right_over_a_late_line() -> None:
    dice = random.Random(5)
    world = World(seed=4)
    world.enter("a", "a")
    prediction = Prediction()
    up: deque[tuple[int, tuple[int, int, int]]] = deque()
    down: deque[tuple[int, Place, int]] = deque()
    dx, dy = 1, 0
    for tick in range(2000):
        if dice.random() < 0.05:
            dx, dy = dice.randint(-1, 1), dice.randint(-1, 1)
        up.append((tick + dice.randint(1, 6), (prediction.input(dx, dy), dx, dy)))
        while up and up[0][0] <= tick:
            world.input("a", *up.popleft()[1])
        world.advance()
        player = world.players["a"]
        down.append((tick + dice.randint(1, 6), player.place, player.done))
        while down and down[0][0] <= tick:
            _, place, done = down.popleft()
            prediction.reconcile(place, done)
        assert prediction.pending < 30
    assert prediction.corrections == 0


async def test_bots_walk_as_often_as_the_server_ticks(fanwire_clock: FakeClock) -> None:
    numbers: list[int] = []

    async def count() -> None:
        async for number in ticks():
            numbers.append(number)  # noqa: PERF401 - seen while it grows

    task = asyncio.create_task(count())
    await fanwire_clock.advance(1.01)
    task.cancel()
    assert numbers == list(range(1, HZ + 1))


async def test_players_of_two_nodes_see_each_other_when_they_are_near(
    play: tuple[Play, ServerRun], start: Start
) -> None:
    game, first = play
    second = await start()
    red = await Guest(await first.client()).enter("red")
    blue = await Guest(await second.client()).enter("blue")
    await game.until(lambda: len(game.world.players) == 2, "both have entered")
    for guest, place in ((red, (100.0, 100.0)), (blue, (150.0, 100.0))):
        game.world.players[guest.id].place = place
    for guest in (red, blue):
        await guest.go(1, 0)
    await game.until(lambda: red.sees(blue.id) and blue.sees(red.id), "they see each other")
    # One goes far away.
    game.world.players[blue.id].place = (2900.0, 2900.0)
    for guest in (red, blue):
        await guest.go(-1, 0)
    await game.until(lambda: blue.sees(blue.id) and not blue.sees(red.id), "blue sees only what is near")
    await game.until(lambda: not red.sees(blue.id), "red does not see it any more")
    assert set(blue.states) == {f"zone.{x}.{y}" for x, y in around((9, 9))}


async def test_a_cut_costs_no_input(play: tuple[Play, ServerRun]) -> None:
    game, run = play
    proxy = await run.proxy()
    guest = await Guest(await run.client(url=proxy.url)).enter("red")
    await game.until(lambda: guest.sees(guest.id), "it has entered")
    for _ in range(3):
        await guest.go(1, 0)
        proxy.cut()
        await guest.go(0, 1)
    player = game.world.players[guest.id]
    await game.until(lambda: player.done == 6, "all inputs are done")
    await game.until(lambda: guest.prediction.pending == 0, "it knows")
    assert guest.prediction.place == pytest.approx(player.place, abs=0.01)


async def test_who_leaves_is_gone(play: tuple[Play, ServerRun], start: Start) -> None:
    game, _ = play
    second = await start()
    guest = await Guest(await second.client()).enter("red")
    await game.until(lambda: guest.id in game.world.players, "it has entered")
    await guest.client.close()
    await game.until(lambda: not game.world.players, "it has left")


async def test_who_says_nothing_is_out(play: tuple[Play, ServerRun]) -> None:
    game, run = play
    guest = await Guest(await run.client()).enter("red")
    await game.until(lambda: guest.id in game.world.players, "it has entered")
    for _ in range(int(IDLE * HZ) + 2):
        game.game.tick()
    assert not game.world.players


async def test_who_comes_again_is_told_of_what_is_near_now(play: tuple[Play, ServerRun]) -> None:
    game, run = play
    guest = await Guest(await run.client()).enter("red")
    conn = run.server.connections[0]

    def rooms() -> set[str]:
        return {f"zone.{x}.{y}" for x, y in around(game.world.players[guest.id].cell)}

    await game.until(lambda: guest.id in game.world.players, "it has entered")
    await until(lambda: set(conn.rooms) == rooms(), "it is told")
    before = rooms()

    async def again() -> None:
        player = game.world.players[guest.id]
        await guest.enter("red")
        await game.until(lambda: game.world.players[guest.id] is not player, "it has come again")

    while rooms() == before:
        await again()
    await until(lambda: set(conn.rooms) == rooms(), "it is told of what is near, and of nothing else")


async def test_a_wrong_input_is_refused(play: tuple[Play, ServerRun]) -> None:
    _, run = play
    client = await run.client()
    with pytest.raises(fanwire.RequestFailed, match="not_playing"):
        await client.request("walk", {"n": 1, "dx": 1, "dy": 0})
    await client.request("enter", {"name": "red"})
    for wrong in ({"n": 1, "dx": 2, "dy": 0}, {"n": 0, "dx": 1, "dy": 0}, {"dx": 1, "dy": 0}):
        with pytest.raises(fanwire.RequestFailed, match="invalid_payload"):
            await client.request("walk", wrong)


async def test_a_bot_predicts_where_it_is(play: tuple[Play, ServerRun]) -> None:
    game, run = play
    bot = Bot(await run.client(), 1)
    playing = asyncio.create_task(bot.play())
    await game.until(lambda: len(bot.pending) >= 5, "it is told where it is")
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)
    assert bot.prediction.corrections == 0
    assert "corrections   0 of" in report([bot], 1.0)
