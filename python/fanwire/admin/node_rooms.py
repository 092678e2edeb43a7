"""What an operator may ask about the rooms of this node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fanwire._engine import Engine
from fanwire.admin.documents import RoomAtNode, RoomPosition, RoomRule, RoomSummary
from fanwire.admin.questions import (
    RoomCountsQuestion,
    RoomQuestion,
    RoomsAnswer,
    RoomsQuestion,
    ValueParts,
    ValuesPart,
    ValuesQuestion,
)
from fanwire.admin.scan import first_of, pattern_of
from fanwire.cluster.node_message import unpack
from fanwire.rooms.rules import RoomPolicy

__all__ = ["NodeRooms", "rule_of"]


class NodeRooms:
    """Answers about rooms.

    Args:
        engine: has the rooms.
        name: of this node.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name

    async def some(self, question: RoomsQuestion) -> RoomsAnswer:
        """Returns a part of the rooms."""
        is_meant = pattern_of(question.pattern)
        key: Callable[[tuple[str, int]], object] = _name_of if question.sort == "name" else _size_of
        rooms = self._engine.rooms()
        # 10,000 rooms have taken two milliseconds.
        await asyncio.sleep(0)
        found = await first_of(
            rooms.items(),
            lambda room: is_meant(room[0]),
            key,
            question.limit,
            question.after if question.sort == "name" else None,
        )
        summaries = [RoomSummary(name=name, members=members) for name, members in found.items]
        return RoomsAnswer(summaries, found.matching, found.more)

    def counts(self, question: RoomCountsQuestion) -> list[int]:
        """Returns the numbers of members of rooms."""
        return [self._engine.members(name) for name in question.names]

    def one(self, question: RoomQuestion) -> RoomAtNode | None:
        """Returns one room; None: this node does not have it."""
        # Only `position` would create a room that does not exist.
        epoch, _ = self._engine.history(question.name, None, 1)
        if epoch == "0":
            return None
        epoch, seq = self._engine.position(question.name)
        members = self._engine.members(question.name)
        return RoomAtNode(node=self._name, members=members, position=RoomPosition(epoch=epoch, seq=seq))

    async def values(self, question: ValuesQuestion) -> ValuesPart:
        """Returns a part of the newest values of a room: as many as `MAX_BYTES` hold, and one at least."""
        messages = self._engine.values(question.name)
        found = await first_of(
            ((unpack(message).key or "", message) for message in messages),
            lambda value: True,
            lambda value: value[0],
            question.limit,
            question.after,
        )
        values: list[ValueParts] = []
        size = 0
        for key, message in found.items:
            size += len(message)
            if values and size > MAX_BYTES:
                return ValuesPart(values, found.matching, True)
            values.append(ValueParts(key, unpack(message).ts_ms, message))
        return ValuesPart(values, found.matching, found.more)


def rule_of(policy: RoomPolicy) -> RoomRule:
    """The rule of rooms, for operators."""
    rights = {
        name: right if right is None or isinstance(right, bool) else "function"
        for name, right in (
            ("join", policy.join),
            ("publish", policy.publish),
            ("see_members", policy.see_members),
            ("see_history", policy.see_history),
        )
    }
    return RoomRule(
        pattern=policy.pattern, delivery=policy.delivery, max_keys=policy.max_keys, max_members=policy.max_members,
        history=policy.history, history_bytes=policy.history_bytes, history_age=policy.history_age,
        presence=policy.presence, compress=policy.compress, priority=policy.priority, tick=policy.tick,
        interest=policy.interest, delta=policy.delta, when_away=policy.when_away, **rights,
    )  # fmt: skip


def _name_of(room: tuple[str, int]) -> object:
    return room[0]


def _size_of(room: tuple[str, int]) -> object:
    return -room[1], room[0]


MAX_BYTES = 1 << 20
"""Bytes of the messages in one page of values or of a history: a page of 1,000 large ones could be a gigabyte."""
