"""Messages to users at several nodes: delivered once, and only if they can be read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fanwire.cluster.faults import Faults
from fanwire.cluster.node_message import NodeMessage, pack
from fanwire.cluster.tasks import Tasks
from fanwire.cluster.user_messages import UserMessages


class Backplane:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.names: list[str] = []
        self.is_full = False

    def send(self, name: str, data: bytes) -> bool:
        if not self.is_full:
            self.sent.append((name, data))
        return not self.is_full

    async def hear(self, name: str) -> None:
        self.names.append(name)

    def unhear(self, name: str) -> None:
        if name in self.names:
            self.names.remove(name)


class World:
    def __init__(self) -> None:
        self.backplane = Backplane()
        self.faults = Faults()
        self.tasks = Tasks(self.faults)
        self.delivered: list[tuple[Any, ...]] = []
        self.users = self.node(7)

    def node(self, id: int) -> UserMessages:
        backplane: Any = self.backplane
        return UserMessages(backplane, id, 4, self.tasks, lambda *message: self.delivered.append(message), self.faults)


async def test_a_message_goes_from_node_to_node_once() -> None:
    world = World()
    world.node(8).send("ann", NodeMessage(b"[1]", json=True))
    ((name, data),) = world.backplane.sent
    assert name == "uann"
    world.users.heard("ann", data)
    world.users.heard("ann", data)
    assert world.delivered == [("ann", b"[1]", True, None)]
    assert world.faults.counts["late"] == 1


@pytest.mark.parametrize(
    "data", [b"?", pack(NodeMessage(b"[", json=True)), pack(NodeMessage(b"[[[[[1]]]]]", json=True))]
)
async def test_what_cannot_be_read_is_counted_and_dropped(data: bytes) -> None:
    world = World()
    world.users.heard("ann", data)
    assert world.delivered == []
    assert world.faults.counts["malformed"] == 1


async def test_a_message_that_cannot_be_sent_is_counted() -> None:
    world = World()
    world.backplane.is_full = True
    world.users.send("ann", NodeMessage("hello"))
    assert world.faults.counts["unsent"] == 1


async def test_users_are_subscribed_to_while_they_are_here() -> None:
    world = World()
    world.users.subscribe("ann")
    await asyncio.sleep(0)
    assert world.backplane.names == ["uann"]
    world.users.unsubscribe("ann")
    assert world.backplane.names == []


async def test_a_user_who_leaves_at_once_is_not_subscribed_to() -> None:
    world = World()
    world.users.subscribe("ann")
    world.users.unsubscribe("ann")
    world.users.subscribe("bob")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.backplane.names == ["ubob"]
