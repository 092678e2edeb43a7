"""Requests of links between nodes, over a backplane that can lose them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio
from helpers.wait import until, within

from fanwire.backplane.base import Backplane
from fanwire.cluster import forwarding as module
from fanwire.cluster.faults import Faults
from fanwire.cluster.forwarding import LINKS, Forwarding
from fanwire.cluster.tasks import Tasks
from fanwire.transports.exchange import TAKEN, UNAVAILABLE, UNKNOWN, LinkReply, LinkRequest

REQUEST = LinkRequest("b." + "x" * 32, 1, body=b"{}")


class Wire:
    """Carries messages at once, or loses them.

    Attributes:
        loses: which of the messages to come are lost, by number.
    """

    def __init__(self) -> None:
        self.ends: dict[str, End] = {}
        self.sent = 0
        self.loses: set[int] = set()
        self.max_bytes = 200
        self.is_up = True


class End:
    """A node."""

    def __init__(self, wire: Wire, tag: str) -> None:
        self.wire = wire
        self.heard: list[str] = []
        self.faults = Faults()
        self.tasks = Tasks(self.faults)
        self.there = {"a.", "b."}
        self.reply: LinkReply | None = TAKEN
        self.asked: list[LinkRequest] = []
        wire.ends[LINKS + tag] = self
        self.forwarding = Forwarding(
            cast("Backplane", self), tag, self.there.__contains__, self._answer, 1000.0, self.tasks, self.faults
        )

    async def hear(self, name: str) -> None:
        self.heard.append(name)

    @property
    def max_bytes(self) -> int:
        return self.wire.max_bytes

    @property
    def is_up(self) -> bool:
        return self.wire.is_up

    def send(self, name: str, data: bytes) -> bool:
        self.wire.sent += 1
        if self.wire.sent not in self.wire.loses and name in self.wire.ends:
            asyncio.get_running_loop().call_soon(self.wire.ends[name].forwarding.heard, data)
        return self.wire.is_up

    async def _answer(self, request: LinkRequest) -> LinkReply:
        self.asked.append(request)
        if self.reply is None:
            await asyncio.get_running_loop().create_future()
        assert self.reply is not None
        return self.reply


@pytest_asyncio.fixture
async def ends(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[End, End]]:
    monkeypatch.setattr(module, "TAKEN_WITHIN", 1000.0)
    monkeypatch.setattr(module, "LOOK", 0.001)
    wire = Wire()
    a, b = End(wire, "a."), End(wire, "b.")
    yield a, b
    for end in (a, b):
        await end.tasks.end()


async def test_a_request_is_carried_out_by_the_other_node(ends: tuple[End, End]) -> None:
    a, b = ends
    await b.forwarding.start()
    assert b.heard == [LINKS + "b."]
    assert await within(a.forwarding.ask("b.", REQUEST)) == TAKEN
    assert b.asked == [REQUEST]
    assert sum(a.faults.counts.values()) == sum(b.faults.counts.values()) == 0


async def test_large_ones_go_in_parts(ends: tuple[End, End]) -> None:
    a, b = ends
    b.reply = LinkReply(200, b"data: " + b"y" * 2000 + b"\n\n")
    large = LinkRequest(REQUEST.token, 1, body=b"x" * 2000)
    assert await within(a.forwarding.ask("b.", large)) == b.reply
    assert b.asked == [large]
    too_large = LinkRequest(REQUEST.token, 1, body=b"x" * 20_000)
    assert await within(a.forwarding.ask("b.", too_large)) is UNAVAILABLE
    assert a.faults.counts["forwarding"] == 1


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_a_lost_message(ends: tuple[End, End], lost: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = ends
    a.wire.loses = {lost}
    with monkeypatch.context() as short:
        # Only what does not come.
        if lost == 1:
            short.setattr(module, "TAKEN_WITHIN", 0.01)
        elif lost == 3:
            short.setattr(a.forwarding, "_timeout", 0.01)
        reply = await within(a.forwarding.ask("b.", REQUEST))
    # Without the second one, the reply itself shows that the request was taken.
    assert reply == (TAKEN if lost == 2 else UNAVAILABLE)
    assert await within(a.forwarding.ask("b.", REQUEST)) == TAKEN
    assert b.asked == ([REQUEST] if lost == 1 else [REQUEST, REQUEST])


async def test_a_node_that_is_gone(ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TAKEN_WITHIN", 0.01)
    a, _ = ends
    assert await within(a.forwarding.ask("c.", REQUEST)) is UNKNOWN
    # Anyone may invent a tag: other nodes have no work with it.
    assert a.wire.sent == 0
    a.there.add("c.")
    assert await within(a.forwarding.ask("c.", REQUEST)) is UNAVAILABLE


async def test_a_node_whose_first_heartbeat_is_on_its_way(ends: tuple[End, End]) -> None:
    a, _ = ends
    a.there.clear()
    asked = asyncio.ensure_future(a.forwarding.ask("b.", REQUEST))
    await asyncio.sleep(0.002)
    a.there.add("b.")
    assert await within(asked) == TAKEN


async def test_a_standstill_counts_as_one_look(ends: tuple[End, End]) -> None:
    a, _ = ends
    a.there.clear()
    asked = asyncio.ensure_future(a.forwarding.ask("b.", REQUEST))
    await asyncio.sleep(0)
    time.sleep(2 * module.LOOKS * module.LOOK)  # noqa: ASYNC251 - that is the test
    # What has come meanwhile is read behind the timers.
    asyncio.get_running_loop().call_later(0.001, a.there.add, "b.")
    assert await within(asked) == TAKEN


async def test_a_node_that_goes_while_it_is_asked(ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TAKEN_WITHIN", 0.01)
    a, _ = ends
    a.wire.loses = {1}
    asked = asyncio.ensure_future(a.forwarding.ask("b.", REQUEST))
    await asyncio.sleep(0)
    assert a.wire.sent == 1
    a.there.clear()
    assert await within(asked) is UNKNOWN


async def test_what_waits_for_a_node_that_dies_is_answered_at_once(ends: tuple[End, End]) -> None:
    a, b = ends
    b.reply = None
    asked = asyncio.ensure_future(a.forwarding.ask("b.", REQUEST))
    await until(lambda: b.asked)
    a.forwarding.gone("c.")
    await asyncio.sleep(0)
    assert not asked.done()
    a.forwarding.gone("b.")
    assert await within(asked) is UNKNOWN
    # It may be dead before it has taken anything.
    a.wire.loses = set(range(1000))
    asked = asyncio.ensure_future(a.forwarding.ask("b.", REQUEST))
    sent = a.wire.sent
    await until(lambda: a.wire.sent > sent)
    a.forwarding.gone("b.")
    assert await within(asked) is UNKNOWN
    assert a.faults.counts["forwarding"] == 0


async def test_what_waits_when_the_backplane_goes_is_answered_at_once(ends: tuple[End, End]) -> None:
    a, b = ends
    b.reply = None
    asked = asyncio.ensure_future(a.forwarding.ask("b.", REQUEST))
    await until(lambda: b.asked)
    a.forwarding.away()
    assert await within(asked) is UNAVAILABLE


async def test_a_node_that_takes_the_request_and_does_not_answer(ends: tuple[End, End]) -> None:
    a, b = ends
    b.reply = None
    a.forwarding._timeout = 0.01
    assert await within(a.forwarding.ask("b.", REQUEST)) is UNAVAILABLE


async def test_a_backplane_that_is_away(ends: tuple[End, End]) -> None:
    a, _ = ends
    a.wire.is_up = False
    assert await within(a.forwarding.ask("b.", REQUEST)) is UNAVAILABLE
    # It may be there, and cannot be heard.
    a.there.clear()
    assert await within(a.forwarding.ask("b.", REQUEST)) is UNAVAILABLE


async def test_only_so_many_wait(ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = ends
    b.reply = None
    monkeypatch.setattr(module, "MOST", 2)
    asked = [asyncio.ensure_future(a.forwarding.ask("b.", REQUEST)) for _ in range(2)]
    await until(lambda: len(b.asked) == 2)
    assert await within(a.forwarding.ask("b.", REQUEST)) is UNAVAILABLE
    assert len(b.asked) == 2
    for task in asked:
        task.cancel()


@pytest.mark.parametrize("data", [b"", b"\xc1", bytes([0x96, 0, 0xA2, 0x61, 0x2E, 1, 0, 1, 0xC4, 1, 0xC1])])
async def test_what_cannot_be_read_is_counted(ends: tuple[End, End], data: bytes) -> None:
    a, _ = ends
    a.forwarding.heard(data)
    assert a.faults.counts["malformed"] == sum(a.faults.counts.values()) == 1


async def test_a_reply_that_comes_too_late(ends: tuple[End, End]) -> None:
    a, b = ends
    asked = asyncio.ensure_future(a.forwarding.ask("b.", REQUEST))
    await asyncio.sleep(0)
    assert a.wire.sent == 1
    asked.cancel()
    await until(lambda: a.wire.sent == 3)
    await asyncio.sleep(0)
    assert (len(b.asked), sum(a.faults.counts.values())) == (1, 0)
