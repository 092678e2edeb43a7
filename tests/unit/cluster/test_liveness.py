"""The heartbeat of a node: what it does about dead nodes, late messages and its own deafness."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fanwire.cluster import liveness
from fanwire.cluster.faults import Faults
from fanwire.cluster.heartbeats import DEAD, DEAF
from fanwire.cluster.liveness import Liveness


class Parts:
    """Backplane, engine, live rooms and presence in one."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.late = 0
        self.faults = Faults()
        parts = cast("Any", self)
        self.liveness = Liveness(parts, parts, 7, parts, parts, self._gone, self.faults)

    def heal(self) -> None:
        self.calls.append("heal")

    def send_again(self) -> None:
        self.calls.append("send_again")

    def _gone(self, node: int) -> None:
        self.calls.append(("gone", node))

    async def reconnect(self) -> None:
        self.calls.append("reconnect")

    def stats(self) -> dict[str, int]:
        return {"late": self.late}


async def test_a_dead_node_is_dropped() -> None:
    parts = Parts()
    beats = parts.liveness.heartbeats
    beats.restart(0.0)
    beats.heard(8, 0.0)
    beats.heard(7, DEAD)
    await parts.liveness._check(DEAD + 1)
    assert parts.calls == ["heal", "send_again", ("gone", 8)]
    assert parts.liveness.heartbeats.others == frozenset()


@pytest.mark.logs_errors
async def test_a_deaf_node_connects_again() -> None:
    parts = Parts()
    parts.liveness.heartbeats.restart(0.0)
    await parts.liveness._check(DEAF + 1)
    assert parts.calls == ["heal", "send_again", "reconnect"]
    assert parts.faults.counts["deaf"] == 1
    assert not parts.liveness.heartbeats.is_deaf(DEAF + 1)


async def test_late_messages_are_counted_once() -> None:
    parts = Parts()
    parts.liveness.heartbeats.restart(0.0)
    parts.late = 3
    await parts.liveness._check(0.0)
    await parts.liveness._check(0.0)
    assert parts.faults.counts["late"] == 3


def test_the_other_nodes_are_unknown_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "BEAT", 1000.0)
    parts = Parts()
    assert parts.liveness.others() is None
    parts.liveness.heartbeats.heard(8, 0.0)
    assert parts.liveness.others() == {8}
    parts = Parts()
    monkeypatch.setattr(liveness, "BEAT", -1.0)
    assert parts.liveness.others() == frozenset()
