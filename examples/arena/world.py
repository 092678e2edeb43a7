"""The rules: how players move, what they collect, and which cells the world has. No network, and no clock: a step is an
input of a player, so that a client can compute the same (`page/rules.js`)."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field

SIZE = 3000.0
"""The side of the world, in pixels."""
STEP = 8.0
"""Pixels that an input moves a player: 240 a second."""
RADIUS = 16.0
ROCKS = [
    (700.0, 800.0, 120.0),
    (1500.0, 1400.0, 200.0),
    (2300.0, 700.0, 150.0),
    (900.0, 2200.0, 170.0),
    (2200.0, 2100.0, 110.0),
]
"""Where nobody can go: the middle and the radius of each."""
GEMS = 120
CELL = 300.0
"""The side of a cell. A player is told of the cell that it is in and of those around it."""
HYSTERESIS = 30.0
"""Pixels beyond the edge of a cell until a player counts as in the next one: who walks along an edge stays in one."""
WAITING = 30
"""Inputs of a player that may wait, a second's worth: after a stall of the line they come together. Of more the oldest
are dropped, and the client is corrected."""

Place = tuple[float, float]
Cell = tuple[int, int]


def step(place: Place, dx: int, dy: int) -> Place:
    """The place after one input: a direction, each part -1, 0 or 1."""
    length = STEP * (math.sqrt(0.5) if dx and dy else 1.0)
    x = min(max(place[0] + dx * length, RADIUS), SIZE - RADIUS)
    y = min(max(place[1] + dy * length, RADIUS), SIZE - RADIUS)
    for rock_x, rock_y, rock in ROCKS:
        away_x, away_y, least = x - rock_x, y - rock_y, rock + RADIUS
        distance = math.sqrt(away_x * away_x + away_y * away_y)
        if 0 < distance < least:
            x, y = rock_x + away_x * least / distance, rock_y + away_y * least / distance
    return x, y


def cell_of(place: Place, before: Cell | None = None) -> Cell:
    """The cell of a place; the one before, as long as the place is not clearly beyond its edge."""
    if before is not None and all(
        CELL * part - HYSTERESIS <= at < CELL * (part + 1) + HYSTERESIS for at, part in zip(place, before, strict=True)
    ):
        return before
    return int(place[0] // CELL), int(place[1] // CELL)


def around(cell: Cell) -> set[Cell]:
    """A cell, and those that touch it."""
    last = int(SIZE // CELL) - 1
    return {
        (x, y)
        for x in range(max(cell[0] - 1, 0), min(cell[0] + 1, last) + 1)
        for y in range(max(cell[1] - 1, 0), min(cell[1] + 1, last) + 1)
    }


@dataclass
class Player:
    """A player. `done` is the number of the last input that has moved it, which its client is told."""

    name: str
    place: Place
    cell: Cell
    done: int = 0
    score: int = 0
    idle: int = 0
    inputs: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=WAITING))


class World:
    """All players and gems.

    Attributes:
        tick: the number of the last tick.
        players: by id.
        moved: players whose cell is another one since it was taken last, with the cell.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # a game of chance, and no secret
        self.tick = 0
        self.players: dict[str, Player] = {}
        self.gems: dict[Cell, list[Place]] = {}
        self.moved: dict[str, Cell] = {}
        cells = range(int(SIZE // CELL))
        self._changed: set[Cell] = {(x, y) for x in cells for y in cells}
        for _ in range(GEMS):
            self._grow()

    def enter(self, id: str, name: str) -> None:
        """A player comes, or comes again."""
        place = self._free()
        player = self.players[id] = Player(name, place, cell_of(place))
        self.moved[id] = player.cell

    def leave(self, id: str) -> None:
        """A player goes."""
        player = self.players.pop(id, None)
        if player is not None:
            self._changed.add(cell_of(player.place))

    def input(self, id: str, number: int, dx: int, dy: int) -> None:
        """What a player wants; done at a tick. One that has come before is ignored: clients send again."""
        player = self.players.get(id)
        if player is None:
            return
        player.idle = 0
        newest = player.inputs[-1][0] if player.inputs else player.done
        if number > newest:
            player.inputs.append((number, max(-1, min(1, dx)), max(-1, min(1, dy))))

    def advance(self) -> dict[Cell, dict[str, object]]:
        """One tick. Returns the new state of each cell in which anything has changed."""
        self.tick += 1
        for name, player in self.players.items():
            player.idle += 1
            before = cell_of(player.place)
            # One input for each tick; a second one where some have come late together.
            for _ in range(2 if len(player.inputs) > 2 else 1):
                if player.inputs:
                    player.done, dx, dy = player.inputs.popleft()
                    player.place = step(player.place, dx, dy)
                    self._collect(player)
                    self._changed |= {before, cell_of(player.place)}
            cell = cell_of(player.place, player.cell)
            if cell != player.cell:
                player.cell = self.moved[name] = cell
        changed, self._changed = self._changed, set()
        return self._states(changed)

    def scores(self, most: int = 10) -> list[tuple[str, int]]:
        """The best players: names and scores."""
        best = sorted(self.players.values(), key=lambda player: -player.score)[:most]
        return [(player.name, player.score) for player in best]

    def _states(self, cells: set[Cell]) -> dict[Cell, dict[str, object]]:
        found: dict[Cell, dict[str, object]] = {}
        players: dict[Cell, dict[str, object]] = {cell: {} for cell in cells}
        for name, player in self.players.items():
            cell = cell_of(player.place)
            if cell in players:
                x, y = player.place
                players[cell][name] = [round(x, 2), round(y, 2), player.done, player.score, player.name]
        for cell in cells:
            gems = [[round(x), round(y)] for x, y in self.gems.get(cell, ())]
            found[cell] = {"tick": self.tick, "players": players[cell], "gems": gems}
        return found

    def _collect(self, player: Player) -> None:
        cell = cell_of(player.place)
        for gem in list(self.gems.get(cell, ())):
            if math.dist(gem, player.place) < RADIUS + 8:
                self.gems[cell].remove(gem)
                player.score += 1
                self._grow()

    def _grow(self) -> None:
        place = self._free()
        cell = cell_of(place)
        self.gems.setdefault(cell, []).append(place)
        self._changed.add(cell)

    def _free(self) -> Place:
        """A place outside of the rocks."""
        place = self._random.uniform(RADIUS, SIZE - RADIUS), self._random.uniform(RADIUS, SIZE - RADIUS)
        return step(place, 0, 0)
