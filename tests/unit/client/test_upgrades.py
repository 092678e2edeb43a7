"""A better transport is tried while the present one goes on: who is told what, and when. The links are fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from helpers.by_hand import Driver, only
from helpers.wait import until

from fanwire.client import actions as do
from fanwire.client import chooser, upgrades
from fanwire.client.chooser import TRANSPORTS, Chooser
from fanwire.client.failures import Failure
from fanwire.client.link import Unreachable
from fanwire.client.upgrades import Upgrades
from fanwire.codes import CloseCode


class FakeLink:
    """A link that has brought a message."""

    def __init__(self, code: int = CloseCode.ABNORMAL) -> None:
        self.close_code = code
        self.is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


class Owner:
    """The driver, and the server's answers to attempts: a link, an error, or nothing for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chooser, "FIRST_UPGRADE", 0.001)
        monkeypatch.setattr(chooser, "UPGRADE_EVERY", 0.001)
        monkeypatch.setattr(upgrades, "dial_best", self.dial)
        self.server = Driver().up(ack_frames=1)
        self.machine = self.server.machine
        self.chooser = Chooser(TRANSPORTS, 10.0, Random(1))
        self.loop = asyncio.get_running_loop()
        self.upgrades = Upgrades(self.chooser, self.machine, self, self.loop)
        self.answer: asyncio.Future[Any] = self.loop.create_future()
        self.queries: list[dict[str, str]] = []
        self.adopted: list[Any] = []
        self.lost: list[Any] = []
        self.tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """There is a link of a fallback transport."""
        self.chooser.opened("sse", self.loop.time())
        self.upgrades.plan()

    async def dial(self, chooser: Chooser, target: Any, query: dict[str, str]) -> Any:
        self.queries.append(query)
        answer, self.answer = await self.answer, self.loop.create_future()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def authorized(self) -> Any:
        return None

    async def run(self, link: Any, *, is_wanted: bool, is_switch: bool = False) -> None:
        assert (is_wanted, is_switch) == (True, True)
        self.adopted.append(link)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        self.tasks.append(task)
        return task

    def link_lost(self, link: Any) -> None:
        self.lost.append((link, self.upgrades.is_own(link.close_code)))

    def perform(self) -> None:
        self.machine.take()


@pytest_asyncio.fixture
async def owner(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Owner]:
    one = Owner(monkeypatch)
    yield one
    one.upgrades.cancel()
    await asyncio.gather(*one.tasks, return_exceptions=True)


def failure() -> Unreachable:
    return Unreachable("no", Failure.NETWORK)


async def test_an_attempt_that_succeeds_takes_over(owner: Owner) -> None:
    owner.begin()
    await until(lambda: owner.queries)
    assert owner.queries == [{"session": "S", "received": "0", "must_resume": "1"}]
    link = FakeLink()
    owner.answer.set_result(link)
    await until(lambda: owner.adopted == [link])


async def test_it_is_tried_again_and_again(owner: Owner) -> None:
    owner.begin()
    for number in range(1, 4):
        await until(lambda number=number: len(owner.queries) == number)
        assert owner.machine.session.is_held
        owner.answer.set_result(failure())
        await until(lambda: owner.answer.done() is False)
    assert owner.adopted == []


async def test_polls_wait_while_an_attempt_is_under_way(owner: Owner) -> None:
    await owner.upgrades.settled()
    owner.begin()
    await until(lambda: owner.queries)
    waiting = asyncio.ensure_future(owner.upgrades.settled())
    await asyncio.sleep(0)
    assert not waiting.done()
    owner.answer.set_result(FakeLink())
    await waiting


@pytest.mark.parametrize("code", [CloseCode.TAKEN_OVER, CloseCode.ABNORMAL])
async def test_the_old_link_is_lost_because_the_new_one_takes_over(owner: Owner, code: CloseCode) -> None:
    owner.begin()
    await until(lambda: owner.queries)
    assert owner.upgrades.takes_over(FakeLink(code))  # type: ignore[arg-type]  # a fake
    owner.answer.set_result(FakeLink())
    await until(lambda: owner.adopted)
    assert owner.lost == []


async def test_the_new_link_fails_after_it_has_taken_over(owner: Owner) -> None:
    owner.begin()
    await until(lambda: owner.queries)
    old: Any = FakeLink(CloseCode.TAKEN_OVER)
    assert owner.upgrades.takes_over(old)
    owner.answer.set_result(failure())
    # It was this client itself that took the session over.
    await until(lambda: owner.lost == [(old, True)])


async def test_an_old_link_that_was_lost_meanwhile_is_given_no_report(owner: Owner) -> None:
    owner.begin()
    await until(lambda: owner.queries)
    owner.server.hear("message", payload=1)
    old: Any = FakeLink()
    assert owner.upgrades.takes_over(old)
    owner.answer.set_result(failure())
    await until(lambda: owner.lost)
    # The server may have gone back for the link that failed, and has heard of no higher count.
    (connect,) = only(owner.server.lose(), do.Connect)
    assert connect.query == {"session": "S", "received": "0"}


async def test_another_loss_is_a_loss(owner: Owner) -> None:
    failed: Any = FakeLink(CloseCode.INTERNAL_ERROR)
    taken: Any = FakeLink(CloseCode.TAKEN_OVER)
    assert not owner.upgrades.takes_over(taken)
    assert not owner.upgrades.is_own(taken.close_code)
    owner.begin()
    await until(lambda: owner.queries)
    assert not owner.upgrades.takes_over(failed)


async def test_an_attempt_that_is_given_up_is_not_heard_of(owner: Owner) -> None:
    owner.begin()
    await until(lambda: owner.queries)
    owner.upgrades.cancel()
    await asyncio.gather(*owner.tasks, return_exceptions=True)
    assert (owner.adopted, owner.lost) == ([], [])
    # What it has begun may still end the next link.
    assert owner.upgrades.is_own(CloseCode.TAKEN_OVER)
    await owner.upgrades.settled()


async def test_a_client_that_is_not_open_is_not_switched(owner: Owner) -> None:
    owner.machine.lost(1006, "", 100.0)
    owner.begin()
    await until(lambda: len(owner.tasks) >= 2)
    assert owner.queries == []
