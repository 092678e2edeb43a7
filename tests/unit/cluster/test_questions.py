"""Questions of operators between nodes, over a backplane that can lose them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio
from helpers.wait import DEADLINE, until, within

from fanwire.backplane.base import Backplane
from fanwire.cluster import questions as module
from fanwire.cluster.faults import Faults
from fanwire.cluster.questions import QUESTIONS, NodeQuestions
from fanwire.cluster.tasks import Tasks
from fanwire.testing import FakeClock


class Wire:
    """Carries messages at once, or loses them."""

    def __init__(self) -> None:
        self.ends: dict[str, End] = {}
        self.is_cut = False


class End:
    """A node, which answers with the question and its tag."""

    def __init__(self, wire: Wire, tag: str) -> None:
        self.wire = wire
        self.tag = tag
        self.max_bytes = 200
        self.faults = Faults()
        self.tasks = Tasks(self.faults)
        self.fails: Exception | None = None
        self.waits: asyncio.Event | None = None
        self.questions = NodeQuestions(cast("Backplane", self), tag, self._answer, self.tasks, self.faults)

    async def hear(self, name: str) -> None:
        self.wire.ends[name] = self

    def send(self, name: str, data: bytes) -> bool:
        end = self.wire.ends.get(name)
        if end is not None and not self.wire.is_cut:
            asyncio.get_running_loop().call_soon(end.questions.heard, data)
        return True

    async def _answer(self, question: bytes) -> bytes:
        if self.waits is not None:
            await self.waits.wait()
        if self.fails is not None:
            raise self.fails
        return question + self.tag.encode()


@pytest_asyncio.fixture
async def nodes() -> AsyncIterator[list[End]]:
    wire = Wire()
    ends = [End(wire, tag) for tag in ("a.", "b.", "c.")]
    for end in ends:
        await end.questions.start()
    yield ends
    for end in ends:
        await end.tasks.end()


async def test_all_nodes_answer(nodes: list[End]) -> None:
    assert QUESTIONS + "a." in nodes[0].wire.ends
    assert await within(nodes[0].questions.ask(["b.", "c."], b"?", DEADLINE)) == {"b.": b"?b.", "c.": b"?c."}
    assert await within(nodes[0].questions.ask([], b"?", DEADLINE)) == {}


async def test_long_questions_and_answers_go_in_parts(nodes: list[End]) -> None:
    question = bytes(5000)
    assert await within(nodes[0].questions.ask(["b."], question, DEADLINE)) == {"b.": question + b"b."}


async def test_what_is_too_long_is_a_fault(nodes: list[End]) -> None:
    assert await nodes[0].questions.ask(["b."], bytes(100_000), 0.05) == {}
    assert nodes[0].faults.counts["question"] == 2


async def test_a_node_that_does_not_answer_is_missing(nodes: list[End]) -> None:
    nodes[1].waits = asyncio.Event()
    with FakeClock(settle=0) as clock:
        asked = asyncio.ensure_future(nodes[0].questions.ask(["b.", "c."], b"?", 60.0))
        await until(lambda: any(question.answers for question in nodes[0].questions._asked.values()))
        await clock.advance(60)
        assert await within(asked) == {"c.": b"?c."}
    assert nodes[0].faults.counts["question"] == 1
    # Its late answer is for nobody.
    nodes[1].waits.set()
    await asyncio.sleep(0.01)
    assert nodes[0].questions._asked == {}


async def test_nothing_waits_for_a_node_that_dies(nodes: list[End]) -> None:
    nodes[1].waits = asyncio.Event()
    asked = asyncio.ensure_future(nodes[0].questions.ask(["b.", "c."], b"?", 1000.0))
    await until(lambda: nodes[1].questions._answering)
    nodes[0].questions.gone("b.")
    assert await within(asked) == {"c.": b"?c."}
    assert nodes[0].faults.counts["question"] == 0
    nodes[1].waits.set()


async def test_lost_messages_are_missing_answers(nodes: list[End]) -> None:
    nodes[0].wire.is_cut = True
    assert await nodes[0].questions.ask(["b.", "c."], b"?", 0.05) == {}


async def test_a_question_that_is_not_known_is_a_fault_of_no_harm(nodes: list[End]) -> None:
    nodes[1].fails = ValueError("of a newer version")
    assert await nodes[0].questions.ask(["b."], b"?", 0.05) == {}
    await until(lambda: nodes[1].faults.counts["malformed"] == 1)
    nodes[1].questions.heard(b"\xc1")
    assert nodes[1].faults.counts["malformed"] == 2
    nodes[1].fails = None
    assert await within(nodes[0].questions.ask(["b."], b"?", DEADLINE)) == {"b.": b"?b."}


async def test_the_number_of_questions_is_bounded(nodes: list[End], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    nodes[1].waits = asyncio.Event()
    asking = [asyncio.create_task(nodes[0].questions.ask(["b."], b"?", DEADLINE)) for _ in range(2)]
    await until(lambda: nodes[1].questions._answering == 2)
    assert await nodes[0].questions.ask(["b."], b"?", DEADLINE) == {}
    assert await nodes[2].questions.ask(["b."], b"?", 0.05) == {}
    await until(lambda: nodes[1].faults.counts["question"] == 1)
    nodes[1].waits.set()
    assert await within(asyncio.gather(*asking)) == [{"b.": b"?b."}] * 2
    assert nodes[1].questions._answering == 0
