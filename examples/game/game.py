"""A game for two: a lobby in which players meet, and a loop that moves the world ten times a second."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Annotated

import msgspec
from world import World

import fanwire

TICK = 0.1
"""Seconds between two states of the world."""
LONGEST = 30.0
"""Seconds after which a game ends without a winner."""
GRACE = 10.0
"""Seconds for which a lost player may come back."""


class Steer(msgspec.Struct):
    """What a player sends."""

    heading: Annotated[int, msgspec.Meta(ge=-1, le=1)]


class Game:
    """One game, with a room of its own. It ends with a winner, without players, or after `LONGEST` seconds."""

    def __init__(self, server: fanwire.Server, room: str, players: list[fanwire.Connection]) -> None:
        self._server = server
        self.room = room
        self.world = World()
        self.players = {name_of(player): player for player in players}
        for player in players:
            self.world.enter(name_of(player))
            player.join(room)

    async def run(self) -> None:
        """Moves the world to the end of the game."""
        while not self.is_over:
            self._server.publish(self.room, self.world)
            await asyncio.sleep(TICK)
            self.world.tick()
        self._server.publish(self.room, {"winner": self.world.winner}, delivery="reliable")

    @property
    def is_over(self) -> bool:
        world = self.world
        return world.winner is not None or not world.players or world.ticks * TICK >= LONGEST


class Lobby:
    """Players who wait for another one, and the games that run."""

    def __init__(self, server: fanwire.Server) -> None:
        self._server = server
        self._numbers = count(1)
        self._waiting: fanwire.Connection | None = None
        self._games: dict[str, Game] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def play(self, player: fanwire.Connection) -> str | None:
        """A player wants to play. Returns the room of the game; None: no other player waits.

        Raises:
            Reject: the player waits or plays already.
        """
        name = name_of(player)
        if name in self._games or (self._waiting is not None and name_of(self._waiting) == name):
            raise fanwire.Reject("playing", "you wait or play already")
        other, self._waiting = self._waiting, None
        if other is None:
            self._waiting = player
            return None
        game = Game(self._server, f"game.{next(self._numbers)}", [other, player])
        self._games |= dict.fromkeys(game.world.players, game)
        task = asyncio.create_task(self._run(game))
        self._tasks.add(task)  # the loop itself holds no task
        task.add_done_callback(self._tasks.discard)
        return game.room

    def game_of(self, player: fanwire.Connection) -> Game:
        """The game of a player.

        Raises:
            Reject: there is none.
        """
        game = self._games.get(name_of(player))
        if game is None:
            raise fanwire.Reject("not_playing", "you are in no game")
        return game

    def leave(self, player: fanwire.Connection) -> None:
        """A player has gone: the game goes on without."""
        if self._waiting is player:
            self._waiting = None
        name = name_of(player)
        game = self._games.get(name)
        # It may be another connection of the same user, such as a second tab.
        if game is not None and game.players[name] is player:
            del self._games[name]
            game.world.players.pop(name, None)

    async def stop(self) -> None:
        """Ends all games."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, game: Game) -> None:
        try:
            await game.run()
        finally:
            for name in game.world.players:
                self._games.pop(name, None)


def make_server(port: int = 8000) -> tuple[fanwire.Server, Lobby]:
    """The server and its lobby. A player's token is the name; a real game checks it."""
    server = fanwire.Server(
        port=port,
        authenticate=lambda request: fanwire.Identity(subject=request.token) if request.token else None,
        config=fanwire.Config(grace=GRACE),
    )
    lobby = Lobby(server)
    # A newer state replaces a waiting one: a slow player sees fewer of them, but no old one.
    server.room("game.*", delivery="latest", join=False)

    @server.on("play")
    def play(conn: fanwire.Connection, _: object) -> dict[str, str | None]:
        return {"room": lobby.play(conn)}

    @server.on("steer", Steer)
    def steer(conn: fanwire.Connection, order: Steer) -> None:
        lobby.game_of(conn).world.steer(name_of(conn), order.heading)

    @server.on_disconnect
    def gone(conn: fanwire.Connection) -> None:
        lobby.leave(conn)

    return server, lobby


def name_of(player: fanwire.Connection) -> str:
    return str(player.identity.subject)


async def main() -> None:
    server, lobby = make_server()
    try:
        await server.serve()
    finally:
        await lobby.stop()


if __name__ == "__main__":
    asyncio.run(main())
