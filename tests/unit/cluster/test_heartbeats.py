"""Who lives, and whether it is we who do not hear."""

from __future__ import annotations

import pytest

from fanwire.cluster.heartbeats import BEAT, DEAD, DEAF, Heartbeats, node_name


def test_a_node_is_new_once() -> None:
    heartbeats = Heartbeats(1, 0.0)
    assert [heartbeats.heard(node, 0.0) for node in (2, 2, 3, 1, 1)] == [True, False, True, False, False]
    assert heartbeats.others == {2, 3}


@pytest.mark.parametrize(("now", "is_deaf"), [(0.0, False), (DEAF, False), (DEAF + 0.1, True), (1e9, True)])
def test_who_does_not_hear_itself_is_deaf(now: float, is_deaf: bool) -> None:
    heartbeats = Heartbeats(1, 0.0)
    # Others are no proof: they may come by another way.
    heartbeats.heard(2, now)
    assert heartbeats.is_deaf(now) is is_deaf
    heartbeats.heard(1, now)
    assert not heartbeats.is_deaf(now)


def test_who_is_silent_is_dead_once() -> None:
    heartbeats = Heartbeats(1, 0.0)
    heartbeats.heard(2, 0.0)
    heartbeats.heard(3, 0.5)
    heartbeats.heard(1, DEAD)
    assert heartbeats.take_dead(DEAD) == []
    assert heartbeats.take_dead(DEAD + 0.1) == [2]
    assert heartbeats.take_dead(DEAD + 0.2) == []
    assert heartbeats.others == {3}
    # It may come back, and is new.
    assert heartbeats.heard(2, DEAD + 0.3)


def test_nobody_is_dead_while_we_are_deaf() -> None:
    heartbeats = Heartbeats(1, 0.0)
    heartbeats.heard(2, 0.0)
    now = DEAD + 1
    assert heartbeats.take_dead(now) == []
    assert heartbeats.others == {2}
    heartbeats.heard(1, now)
    assert heartbeats.take_dead(now) == [2]


def test_a_new_connection_gives_everybody_time() -> None:
    heartbeats = Heartbeats(1, 0.0)
    heartbeats.heard(2, 0.0)
    now = DEAD + 1
    heartbeats.restart(now)
    assert not heartbeats.is_deaf(now)
    assert heartbeats.take_dead(now) == []
    heartbeats.heard(1, now + DEAD)
    assert heartbeats.take_dead(now + DEAD + 0.1) == [2]


def test_some_beats_may_be_late() -> None:
    assert DEAF > 3 * BEAT
    # A deaf node is not taken for dead before it can have come back.
    assert DEAD > DEAF + BEAT


def test_who_speaks_without_a_beat_dies_all_the_same() -> None:
    heartbeats = Heartbeats(1, 0.0)
    heartbeats.sighted(2, 0.0)
    heartbeats.sighted(1, 0.0)
    assert heartbeats.others == frozenset()
    heartbeats.heard(1, DEAD + 0.1)
    assert heartbeats.take_dead(DEAD + 0.1) == [2]
    assert heartbeats.take_dead(DEAD + 0.2) == []
    # With a beat it is a node as any other.
    heartbeats.sighted(3, DEAD)
    assert heartbeats.heard(3, DEAD)
    heartbeats.sighted(3, DEAD)
    heartbeats.heard(1, 2 * DEAD + 0.1)
    assert heartbeats.take_dead(2 * DEAD + 0.1) == [3]
    assert heartbeats.take_dead(2 * DEAD + 0.2) == []


def test_viewers_elsewhere_are_known_for_as_long_as_they_are_told() -> None:
    heartbeats = Heartbeats(1, 0.0)
    heartbeats.heard(1, 0.0, has_viewers=True)
    assert not heartbeats.has_viewers(0.0)
    heartbeats.heard(2, 1.0, has_viewers=True)
    heartbeats.heard(3, 1.5)
    assert heartbeats.has_viewers(1.0 + DEAF)
    assert not heartbeats.has_viewers(1.1 + DEAF)


def test_the_name_of_a_node_is_what_ids_of_its_connections_begin_with() -> None:
    assert node_name(0x58BB2E << 39 | 7) == "58bb2e"
