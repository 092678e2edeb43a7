"""Pongs that were not asked for: when a ping is late and bytes come."""

from __future__ import annotations

from fanwire.client.keepalive import Vouching
from fanwire.client.network import Network


def network(received: int) -> Network:
    return Network(received, acked=0, queued=0)


def due(vouching: Vouching, since: float, until: float, rate: float) -> list[float]:
    """When it wants a pong, of bytes that come at this rate."""
    found = []
    while vouching.deadline is not None and vouching.deadline <= until:
        now = vouching.deadline
        assert now > since
        since = now
        if vouching.is_due(now, network(int(rate * now))):
            found.append(round(now, 3))
    return found


def welcomed() -> Vouching:
    vouching = Vouching()
    vouching.opened()
    vouching.welcomed(10.0, 100.0)
    return vouching


def test_when_a_ping_is_late_and_bytes_come_there_are_pongs() -> None:
    vouching = welcomed()
    assert due(vouching, 100.0, 114.0, 20_000) == [111, 112, 113, 114]
    vouching.pinged(114.0)
    assert due(vouching, 114.0, 124.9, 20_000) == []


def test_when_nothing_comes_or_hardly_anything_there_are_none() -> None:
    assert due(welcomed(), 100.0, 150.0, 0) == []
    assert due(welcomed(), 100.0, 150.0, 100) == []


def test_a_server_that_does_not_ping_wants_none() -> None:
    vouching = Vouching()
    assert vouching.deadline is None
    vouching.welcomed(0.0, 100.0)
    assert vouching.deadline is None
    assert not vouching.is_due(1000.0, network(1 << 20))
