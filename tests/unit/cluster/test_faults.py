"""Faults as states: a line at the beginning, a line at the end, a count of all."""

from __future__ import annotations

import logging

import pytest

from fanwire.cluster.faults import CALM, KINDS, REMIND, Faults


class World:
    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.now = 100.0
        self.faults = Faults(lambda: self.now)
        self._caplog = caplog

    def lines(self) -> list[str]:
        found = [record.getMessage() for record in self._caplog.records]
        self._caplog.clear()
        return found


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.DEBUG)
    return World(caplog)


def test_thousands_make_two_lines(world: World) -> None:
    for n in range(4000):
        world.now += 0.001
        world.faults.note("missed", f"room {n}", 2)
        world.faults.look()
    assert world.lines() == ["live messages of other nodes did not come: room 0"]
    world.now += CALM
    world.faults.look()
    assert world.lines() == ["live messages of other nodes come, after 9.0 s: 8000 in all"]
    world.faults.look()
    assert not world.lines()
    assert world.faults.counts["missed"] == 8000


def test_a_state_that_success_ends_lasts_until_then(world: World) -> None:
    world.faults.succeeded("append")
    world.faults.note("append", "no answer (room 'r')")
    world.now += 10 * CALM
    world.faults.look()
    assert world.lines() == ["messages are given up, they were not stored: no answer (room 'r')"]
    # Not by one that came before another failure.
    world.faults.succeeded("append")
    world.faults.note("append", "no answer")
    world.now += CALM
    world.faults.look()
    assert not world.lines()
    world.faults.succeeded("append")
    world.faults.look()
    assert world.lines() == ["messages are stored, after 55.0 s: 2 in all"]


@pytest.mark.parametrize(("kind", "seconds"), [("append", 0.3), ("log_gap", CALM)])
def test_the_end_of_one_fault_says_how_long_it_has_lasted_and_is_no_warning(
    kind: str, seconds: float, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.faults.note(kind, "no answer")
    world.now += 0.3
    world.faults.succeeded(kind)
    world.now += 0.3
    # Only the first success ends it.
    world.faults.succeeded(kind)
    world.now += CALM - 0.6
    world.faults.look()
    begun, ended = caplog.records
    assert (begun.levelno, ended.levelno) == (logging.WARNING, logging.INFO)
    assert ended.getMessage() == f"{KINDS[kind].ends}, after {seconds:.1f} s: 1 in all"


def test_one_that_lasts_is_counted_in_between(world: World) -> None:
    world.faults.note("record", "storage is full")
    assert len(world.lines()) == 1
    for _ in range(3 * int(REMIND)):
        world.now += 1
        world.faults.note("record", "storage is full")
        world.faults.look()
    lines = world.lines()
    assert lines == [f"records of sessions are not saved: {n + 1} in {n}.0 s so far" for n in (60, 120, 180)]


def test_an_end_may_be_said(world: World) -> None:
    world.faults.end("away")
    world.faults.note("away", "it is connected to again")
    world.now += 61.2
    world.faults.look()
    world.lines()
    world.faults.end("away")
    assert world.lines() == ["the backplane is back, after 61.2 s: 1 in all"]


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"away", "internal"}))
def test_nothing_between_nodes_ends_while_the_backplane_is_away(kind: str, world: World) -> None:
    world.faults.note(kind, "no answer")
    world.faults.note("away", "it is connected to again")
    world.faults.succeeded(kind)
    world.lines()
    world.now += 10 * CALM
    world.faults.look()
    assert not world.lines()
    world.faults.end("away")
    world.lines()
    # Now it is tried again, and may fail again.
    world.now += CALM - 0.1
    world.faults.look()
    assert not world.lines()
    world.now += 0.1
    world.faults.look()
    (line,) = world.lines()
    assert line.startswith(f"{KINDS[kind].ends}, after ")


@pytest.mark.logs_errors
def test_errors_of_the_node_itself_end_while_the_backplane_is_away(world: World) -> None:
    world.faults.note("internal", "a bug")
    world.faults.note("away", "it is connected to again")
    world.lines()
    world.now += CALM
    world.faults.look()
    assert world.lines() == [f"the cluster does not fail any more, after {CALM} s: 1 in all"]


def test_the_end_of_a_node_says_what_has_not_ended(world: World) -> None:
    world.faults.note("append", "no answer")
    world.now += 2
    world.faults.note("append", "no answer")
    world.lines()
    world.faults.close()
    assert world.lines() == ["messages are given up, they were not stored, until the node stopped: 2 in 2.0 s"]
    world.faults.close()
    assert not world.lines()


def test_all_kinds_are_counted_from_the_start(world: World) -> None:
    assert world.faults.counts == dict.fromkeys(KINDS, 0)


@pytest.mark.logs_errors
def test_an_error_of_our_own_has_its_traceback_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        world.faults.note("internal", LookupError("a bug"))
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is LookupError
    assert world.faults.counts["internal"] == 3
