"""A node alone: the engine does it all."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from helpers.wait import within

from fanwire.errors import Closed
from fanwire.rooms.node import Node
from fanwire.rooms.rules import RoomPolicy

MESSAGE = ("a", b"1", False, "key", (1, 2), "latest")


class Engine:
    """Notes what is published."""

    def __init__(self, seq: int | Exception) -> None:
        self.seq = seq
        self.calls: list[tuple[Any, ...]] = []

    def publish(self, *args: Any, audience: bytes | None = None) -> int:
        self.calls.append((*args, audience))
        if isinstance(self.seq, Exception):
            raise self.seq
        return self.seq


def node(seq: int | Exception = 7) -> tuple[Node, Engine]:
    engine: Any = Engine(seq)
    return Node(engine), engine


def test_the_engine_publishes() -> None:
    alone, engine = node()
    assert alone.engine is engine
    assert alone.publish(*MESSAGE) == alone.publish_acked(*MESSAGE) == 7
    # An id is for logs, which a node alone has none of.
    assert alone.publish_acked(*MESSAGE, id="x") == 7
    assert [message[:6] for message in engine.calls] == [MESSAGE] * 3


def test_what_may_be_left_out() -> None:
    alone, engine = node()
    assert alone.publish("a", "text", True) == alone.publish_acked("a", "text", True) == 7
    assert [message[:6] for message in engine.calls] == [("a", "text", True, None, (), None)] * 2


@pytest.mark.parametrize("method", ["publish", "publish_acked"])
def test_its_errors_are_those_of_the_engine(method: str) -> None:
    alone, _ = node(Closed("no more"))
    with pytest.raises(Closed, match="no more"):
        getattr(alone, method)(*MESSAGE)


async def test_nobody_is_waited_for() -> None:
    alone, engine = node()
    await within(alone.start(mock.Mock()))
    assert alone.is_ready
    policy = RoomPolicy("*", history=10)
    assert alone.prepare(policy, "a") is alone.prepare(policy, "a", ("e", 1)) is None
    alone.entered("a")
    alone.left("a")
    await within(alone.stop(60.0))
    assert engine.calls == []


def test_nobody_is_elsewhere() -> None:
    alone, engine = node()
    alone.member_came("a", "1", None)
    alone.user_came("ann")
    alone.send_to_user("ann", b"1", False, None)
    alone.revoke("revoke", "ann", "why")
    assert (alone.remote_members("a"), alone.tag, alone.gauges) == ({}, "", {})
    alone.user_left("ann")
    alone.member_went("a", "1")
    assert engine.calls == []
