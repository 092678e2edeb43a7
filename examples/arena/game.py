"""A game for many in a browser: 30 ticks a second, each player is told of what is near, on two nodes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
from typing import Annotated, Any

import msgspec
from nodes import run_nodes, serve
from pages import pages
from world import CELL, RADIUS, ROCKS, SIZE, STEP, Cell, World, around

import fanwire
from fanwire.auth import ANONYMOUS
from fanwire.backplane import Backplane

HZ = 30
IDLE = 10.0
"""Seconds without an input after which a player is out: the node of its client may be gone."""

Direction = Annotated[int, msgspec.Meta(ge=-1, le=1)]


class Enter(msgspec.Struct):
    """The first message of a player."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=16)]


class Walk(msgspec.Struct):
    """What a player wants, with its number: 1, 2, 3 ..."""

    n: Annotated[int, msgspec.Meta(ge=1)]
    dx: Direction
    dy: Direction


class Gate:
    """A node's side of its players: passes their inputs to the game, wherever that runs, and keeps each of them in the
    rooms of the cells around it."""

    def __init__(self) -> None:
        self._players: dict[str, fanwire.Connection] = {}
        self.is_following = asyncio.Event()

    def declare(self, server: fanwire.Server) -> None:
        """Declares what players send."""

        @server.on("enter", Enter)
        def enter(conn: fanwire.Connection, message: Enter) -> dict[str, Any]:
            player = conn.metadata.setdefault("player", secrets.token_hex(4))
            conn.metadata.setdefault("cells", set[Cell]())
            self._players[player] = conn
            server.publish("inputs", {"player": player, "enter": message.name})
            rules = {"size": SIZE, "step": STEP, "radius": RADIUS, "rocks": ROCKS, "cell": CELL, "hz": HZ}
            return {"player": player, "rules": rules}

        @server.on("walk", Walk)
        def move(conn: fanwire.Connection, message: Walk) -> None:
            player = conn.metadata.get("player")
            if player is None:
                raise fanwire.Reject("not_playing", "send enter first")
            server.publish("inputs", {"player": player, "input": [message.n, message.dx, message.dy]})

        @server.on_disconnect
        def gone(conn: fanwire.Connection) -> None:
            player = conn.metadata.get("player", "")
            if self._players.pop(player, None) is not None:
                with contextlib.suppress(fanwire.Closed):
                    server.publish("inputs", {"player": player, "leave": True})

    async def follow(self, server: fanwire.Server) -> None:
        """Follows where the players are, until it is cancelled."""
        async with server.subscribe("cells") as messages:
            self.is_following.set()
            async for message in messages:
                for player, cell in message.data.items():
                    if player in self._players:
                        self._near(self._players[player], tuple(cell))

    def _near(self, conn: fanwire.Connection, cell: Cell) -> None:
        """The interest of a player: with one room for each cell it is told of nothing that is far away."""
        before, now = conn.metadata["cells"], around(cell)
        for x, y in now - before:
            conn.join(f"zone.{x}.{y}")
        for x, y in before - now:
            conn.leave(f"zone.{x}.{y}")
        conn.metadata["cells"] = now


class Game:
    """The world, which is at one node."""

    def __init__(self, server: fanwire.Server, world: World) -> None:
        self._server = server
        self.world = world
        self.is_listening = asyncio.Event()

    async def listen(self) -> None:
        """Takes what the gates of all nodes publish, until it is cancelled."""
        async with self._server.subscribe("inputs", limit=100_000) as messages:
            self.is_listening.set()
            async for message in messages:
                self.take(message.data)

    def take(self, data: dict[str, Any]) -> None:
        """Takes one message of a gate."""
        player = data["player"]
        if "input" in data:
            self.world.input(player, *data["input"])
        elif "enter" in data:
            self.world.enter(player, data["enter"])
        else:
            self.world.leave(player)

    def tick(self, tick: fanwire.Tick | None = None) -> None:
        """Moves the world, and publishes the cells that have changed."""
        world, server = self.world, self._server
        for name in [name for name, player in world.players.items() if player.idle > IDLE * HZ]:
            world.leave(name)
        for (x, y), state in world.advance().items():
            server.publish(f"zone.{x}.{y}", state)
        if world.moved:
            server.publish("cells", world.moved)
            world.moved = {}
        if world.tick % HZ == 0:
            server.publish("scores", {"best": world.scores(), "players": len(world.players)})


def make_server(port: int = 8000, backplane: Backplane | None = None) -> tuple[fanwire.Server, Gate]:
    """A node, and its gate. Anybody plays."""
    gate = Gate()
    # Each input is a message; a second is worth thirty, and some may come late together.
    config = fanwire.Config(message_rate=100, grace=5.0)
    server = fanwire.Server(
        port=port, authenticate=lambda request: ANONYMOUS, backplane=backplane, app=pages, mount="", config=config
    )
    # A newer state replaces a waiting one: a slow player sees fewer of them, but no old one.
    server.room("zone.*", delivery="latest", join=False)
    server.room("scores", delivery="latest")
    # Between the nodes.
    server.room("inputs", join=False)
    server.room("cells", join=False)
    gate.declare(server)
    return server, gate


async def node(port: int, backplane: Backplane | None, has_game: float) -> None:
    """Runs a node; one of them has the game."""
    server, gate = make_server(port, backplane)
    if not has_game:
        await serve(server, gate.follow(server))
        return
    game = Game(server, World())
    # At steady times. An edge that is missed is left out, so that there is no burst after a stall.
    server.tick(HZ)(game.tick)
    await serve(server, gate.follow(server), game.listen())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="of the first node; the second has the next one")
    parser.add_argument("--alone", action="store_true", help="one node, without NATS")
    parser.add_argument("--nats", help="the URL of a NATS server: this process is one more node, without the game")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run_nodes(node, given.port, 1, alone=given.alone, nats=given.nats))


if __name__ == "__main__":
    main()
