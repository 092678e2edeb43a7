"""Until when a connection lives, by clocks that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from fanwire.config import Config
from fanwire.connection import Connection
from fanwire.sessions import expiry as module
from fanwire.sessions.expiry import ExpiryOwner, Lifetimes
from fanwire.state import ConnectionState


class Stub:
    def __init__(self, expires: float | None) -> None:
        self.id = 1
        self.state = ConnectionState.OPEN
        self.identity = None if expires is None else {"exp": expires}


class Told(ExpiryOwner):
    def __init__(self) -> None:
        self.events: list[str] = []

    def expiring(self, connection: Connection, seconds: float) -> None:
        self.events.append(f"expiring in {seconds:g}")

    def expired(self, connection: Connection) -> None:
        self.events.append("expired")

    def end_expired(self, connection: Connection) -> None:
        self.events.append("ended")

    def aged(self, connection: Connection) -> None:
        self.events.append("aged")


class Clock:
    """A loop whose time the test moves, and the wall's clock, which goes with it until it jumps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.jump = 1_000_000.0
        self.timers: list[list[Any]] = []

    def time(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.jump

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> Any:
        timer = [self.now + delay, call, args]
        self.timers.append(timer)

        class Handle:
            def cancel(handle) -> None:  # noqa: N805 - the clock is self here
                if timer in self.timers:
                    self.timers.remove(timer)

        return Handle()

    def go(self, until: float) -> None:
        while (due := min(self.timers, key=lambda timer: timer[0], default=None)) and due[0] <= until:
            self.timers.remove(due)
            self.now = max(self.now, due[0])
            due[1](*due[2])
        self.now = until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


def begin(clock: Clock, left: float | None, **config: Any) -> tuple[Lifetimes, Connection, list[str]]:
    told = Told()
    lifetimes = Lifetimes(Config(**config), told, clock.wall)
    connection = cast("Connection", Stub(None if left is None else clock.wall() + left))
    lifetimes.begin(connection)
    return lifetimes, connection, told.events


def test_notice_end_and_grace(clock: Clock) -> None:
    lifetimes, _, events = begin(clock, 200, token_notice=60, token_grace=10)
    clock.go(139.9)
    assert events == []
    clock.go(140.1)
    assert [event.split(" in ")[0] for event in events] == ["expiring"]
    assert float(events[0].split()[-1]) == pytest.approx(60, abs=0.1)
    clock.go(199.9)
    assert len(events) == 1
    clock.go(200.1)
    assert events[1:] == ["expired"]
    clock.go(209.9)
    assert events[1:] == ["expired"]
    clock.go(210.1)
    assert events[1:] == ["expired", "ended"]
    clock.go(10_000)
    assert len(events) == 3
    assert not lifetimes._lives


def test_of_short_lives_the_notice_is_half(clock: Clock) -> None:
    _, _, events = begin(clock, 10, token_notice=60)
    clock.go(4.9)
    assert events == []
    clock.go(5.1)
    assert len(events) == 1


def test_one_that_has_expired_before_is_told_so_and_has_its_grace(clock: Clock) -> None:
    _, _, events = begin(clock, -2, token_grace=10)
    assert events == ["expired"]
    clock.go(8.1)
    assert events == ["expired", "ended"]


@pytest.mark.parametrize("left", [None, float("inf")])
def test_who_has_no_end_has_no_end(clock: Clock, left: float | None) -> None:
    lifetimes, connection, events = begin(clock, left)
    clock.go(100_000)
    assert events == []
    assert lifetimes.expires_in(connection) == left


def test_who_renews_lives_on(clock: Clock) -> None:
    lifetimes, connection, events = begin(clock, 100, token_notice=50, token_grace=10)
    clock.go(60)
    assert len(events) == 1
    connection.identity = {"exp": clock.wall() + 100}
    lifetimes.renewed(connection)
    clock.go(109.0)
    assert len(events) == 1
    clock.go(111.0)
    assert len(events) == 2
    assert lifetimes.expires_in(connection) == pytest.approx(49.0)
    # Also in the grace.
    clock.go(165)
    assert events[2:] == ["expired"]
    connection.identity = {"exp": clock.wall() + 1000}
    lifetimes.renewed(connection)
    clock.go(1000)
    assert events[2:] == ["expired"]
    assert len(lifetimes._timers) == 1


def test_a_wall_clock_that_jumps_is_noticed_when_it_is_looked_at(clock: Clock) -> None:
    _, _, events = begin(clock, 100, token_notice=10)
    clock.go(80)
    clock.jump -= 3600
    clock.go(3500)
    assert events == []
    clock.go(3700.1)
    assert [event.split(" in ")[0] for event in events] == ["expiring", "expired"]


def test_a_jump_ahead_takes_effect_within_the_hour(clock: Clock) -> None:
    _, _, events = begin(clock, 100_000)
    clock.jump += 1_000_000
    clock.go(module.LOOK + 1)
    assert events == ["ended"]


def test_who_is_gone_is_not_told(clock: Clock) -> None:
    lifetimes, _, events = begin(clock, 100)
    lifetimes.end(cast("Connection", Stub(None)))
    clock.go(1000)
    assert events == []
    assert not lifetimes._lives


def test_of_one_that_closes_nothing_is_left(clock: Clock) -> None:
    lifetimes, connection, events = begin(clock, 100, token_notice=10)
    connection.state = ConnectionState.CLOSING
    clock.go(1000)
    assert events == []
    assert not lifetimes._lives
    assert not lifetimes._lives


def test_age_comes_once_and_by_chance(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for chance, due in ((0.9, 900), (1.1, 1100)):
        monkeypatch.setattr(module.random, "uniform", lambda low, high, chance=chance: chance)
        start = clock.now
        _, _, events = begin(clock, None, max_age=1000)
        clock.go(start + due - 1)
        assert events == []
        clock.go(start + due + 1)
        assert events == ["aged"]
        clock.go(start + 100_000)
        assert events == ["aged"]


def test_a_renewal_makes_no_younger(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.random, "uniform", lambda low, high: 1.0)
    lifetimes, connection, events = begin(clock, 500, max_age=1000, token_notice=0)
    clock.go(400)
    connection.identity = {"exp": clock.wall() + 5000}
    lifetimes.renewed(connection)
    clock.go(1001)
    assert events == ["aged"]
