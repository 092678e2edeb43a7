"""The rules of the game. They know no network and no clock: `tick` is one step."""

from __future__ import annotations

from dataclasses import dataclass, field

WIDTH = 20
GOAL = 5
"""Coins with which a player wins."""


@dataclass
class Player:
    """A player on a line of `WIDTH` places."""

    at: int
    heading: int = 0
    coins: int = 0


@dataclass
class World:
    """A race for coins, which lie at one place after the other."""

    players: dict[str, Player] = field(default_factory=dict)
    ticks: int = 0

    def enter(self, name: str) -> None:
        """Adds a player: the first on the left, the second on the right."""
        self.players[name] = Player(at=0 if not self.players else WIDTH - 1)

    def steer(self, name: str, heading: int) -> None:
        """Sets where a player goes: -1, 0 or 1."""
        self.players[name].heading = heading

    @property
    def coin(self) -> int:
        """The place of the coin."""
        taken = sum(player.coins for player in self.players.values())
        return (taken * 7 + WIDTH // 2) % WIDTH

    @property
    def winner(self) -> str | None:
        """The player who has enough coins."""
        return next((name for name, player in self.players.items() if player.coins >= GOAL), None)

    def tick(self) -> None:
        """Moves every player by one place. Who reaches the coin takes it."""
        self.ticks += 1
        for player in self.players.values():
            player.at = min(max(player.at + player.heading, 0), WIDTH - 1)
            if player.at == self.coin:
                player.coins += 1
