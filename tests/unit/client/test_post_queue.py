"""The client's messages on their way by POST: in order, numbered, each once."""

from __future__ import annotations

import asyncio

import pytest

from fanwire.client import post_queue
from fanwire.client.http_answer import HttpAnswer
from fanwire.client.post_queue import MAX_BATCH, PostQueue, insist

Sent = tuple[int, bytes, int | None]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_queue, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(post_queue, "MAX_PAUSE", 0.004)


class Server:
    """Answers as it is told, and then with 204."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[Sent] = []
        self.queue = PostQueue(self.post)

    async def post(self, number: int, body: bytes, code: int | None) -> HttpAnswer:
        self.sent.append((number, body, code))
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, Exception):
            raise answer
        return HttpAnswer(answer, {})


async def test_what_waits_goes_together() -> None:
    server = Server()
    for line in (b"a", b"b"):
        server.queue.push(line)
    running = asyncio.ensure_future(server.queue.run())
    await asyncio.sleep(0)
    server.queue.push(b"c")
    server.queue.push(b"d")
    server.queue.close(1000)
    assert await running is None
    assert server.sent == [(1, b"a\nb", None), (2, b"c\nd", 1000)]


async def test_the_end_needs_no_message() -> None:
    server = Server()
    server.queue.close(1000)
    assert await server.queue.run() is None
    assert server.sent == [(1, b"", 1000)]


@pytest.mark.parametrize("failure", [OSError("cut"), 429, 503, 500, 408, 421])
async def test_a_failure_that_may_pass_is_tried_again_with_the_same_number(failure: int | Exception) -> None:
    server = Server(failure, failure)
    server.queue.push(b"a")
    server.queue.close(1000)
    assert await server.queue.run() is None
    assert server.sent == [(1, b"a", 1000)] * 3


@pytest.mark.parametrize("status", [404, 409, 413, 400, 403])
async def test_a_refusal_ends_it(status: int) -> None:
    server = Server(status)
    server.queue.push(b"a")
    answer = await server.queue.run()
    assert answer is not None
    assert (answer.status, len(server.sent)) == (status, 1)


async def test_it_does_not_try_for_ever() -> None:
    server = Server(*[OSError("cut")] * 100)
    server.queue.push(b"a")
    assert await server.queue.run() is None
    assert len(server.sent) == 4


async def test_an_answer_that_does_not_come_is_not_waited_for_for_ever() -> None:
    calls = 0

    async def never() -> HttpAnswer:
        nonlocal calls
        calls += 1
        await asyncio.sleep(3600)
        raise AssertionError

    assert await insist(never, timeout=0.001) is None
    assert calls == 4


async def test_a_batch_has_a_limit_and_one_message_always_fits() -> None:
    server = Server()
    large, small = b"x" * (MAX_BATCH + 1), b"y" * (MAX_BATCH // 2 - 1)
    for line in (small, small, large, b"z"):
        server.queue.push(line)
    server.queue.close(1000)
    assert await server.queue.run() is None
    assert [body for _, body, _ in server.sent] == [b"\n".join([small, small]), large, b"z"]
    assert [code for _, _, code in server.sent] == [None, None, 1000]
