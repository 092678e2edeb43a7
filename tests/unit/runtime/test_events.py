"""The events of the engine: in order, in slices, and each to its part."""

from __future__ import annotations

import asyncio
import socket
from typing import Any
from unittest import mock

import pytest
from helpers.hosted import Hosted
from helpers.wait import DEADLINE

from fanwire.runtime.events import BATCHES, EngineEvents


class Told:
    """An engine that tells events which a test has written down."""

    def __init__(self, *batches: list[tuple[str, int, Any]]) -> None:
        self.batches = list(batches)
        self.asked: list[int] = []

    def events(self, most: int = 0, held: int = 0) -> list[tuple[str, int, Any]]:
        self.asked.append(most)
        return self.batches.pop(0) if self.batches else []


def made(host: Hosted, engine: Told, newcomers: Any = None) -> EngineEvents:
    told: Any = engine
    return EngineEvents(told, host.registry, host.host.limits, host.host.health, newcomers or mock.Mock(), mock.Mock())


@pytest.fixture(autouse=True)
def long_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call handles all events, however busy the machine is. To log an error takes longer than a slice."""
    monkeypatch.setattr("fanwire.runtime.events.SLICE", 60.0)


async def test_events_of_newcomers_are_passed_on(host: Hosted) -> None:
    newcomers = mock.Mock()
    engine = Told([("request", 7, ()), ("gone", 7, None)], [("closed", 7, "eof"), ("http", 8, ())])
    made(host, engine, newcomers).take()
    assert newcomers.call_args_list == [
        mock.call("request", 7, ()), mock.call("gone", 7, None), mock.call("http", 8, ()),
    ]  # fmt: skip
    assert engine.asked == [BATCHES[0]] * 3


@pytest.mark.logs_errors
async def test_an_engine_that_has_failed_is_told_once(host: Hosted) -> None:
    events = made(host, Told([("failed", 0, "a thread"), ("failed", 0, "another")]))
    events.take()
    assert events.failed.result() == "a thread"
    assert host.errors == ["the engine (a thread)", "the engine (another)"]
    host.errors.clear()


@pytest.mark.logs_errors
async def test_an_event_that_fails_ends_its_link_and_the_next_is_handled(host: Hosted) -> None:
    await host.connect()
    (link,) = host.registry.links.values()
    newcomers = mock.Mock(side_effect=ZeroDivisionError)
    engine = Told([("gone", link.id, None), ("peer_closed", link.id, (1000, "bye"))])
    made(host, engine, newcomers).take()
    assert host.errors == ["event 'gone' of the engine"]
    assert link.connection.close_code == 1000
    await host.settle()
    assert not host.registry.links
    host.errors.clear()


async def test_what_does_not_fit_a_slice_waits_for_the_next_turn(host: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.runtime.events.SLICE", 0.0)
    newcomers = mock.Mock()
    events = made(host, Told([("gone", 1, None), ("gone", 2, None)]), newcomers)
    events.take()
    events.take()
    assert newcomers.call_count == 1
    await asyncio.sleep(0)
    assert newcomers.call_count == 2


async def test_the_log_is_finished_with_what_was_not_handled(host: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    log = mock.Mock()
    monkeypatch.setattr(host.registry, "log", log)
    newcomers = mock.Mock()
    refused = ("turned_away", 4, ("::1", 401, "no token", 0, "/", ""))
    made(host, Told([("ended", 3, (1, 2, {}, 4, None)), ("gone", 1, None)], [refused]), newcomers).finish()
    newcomers.assert_called_once_with(*refused)
    log.accounted.assert_called_once_with(3, False, 1, 2, {}, 4, None)
    log.flush.assert_called_once_with()


async def test_sockets_that_nobody_has_taken_over_are_closed_at_the_end(host: Hosted) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        made(host, Told([("http", 8, (theirs.detach(), b"GET /", "::1", False, None))])).finish()
        ours.settimeout(DEADLINE)
        assert ours.recv(1) == b""
