"""Calls of both publishers: attempts, pauses and the close, with a server that is a list of answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

import fanwire
from fanwire.publisher.calls import PublishCalls
from fanwire.publisher.delivering import PublishAnswer
from fanwire.publisher.http_poster import PostFailed
from fanwire.publisher.publication import BATCH_MESSAGES
from fanwire.publisher.target import PublishTarget

BUSY = PublishAnswer(503, b"{}")
REFUSED = PublishAnswer(403, b'{"code": "forbidden", "text": "no"}')


class Script:
    """A server.

    Args:
        answers: one for each attempt; None: no answer. After the last all messages are published.

    Attributes:
        sizes: the messages of each attempt.
        pauses: that the caller has slept for.
    """

    def __init__(self, *answers: PublishAnswer | None) -> None:
        self._answers: Iterator[PublishAnswer | None] = iter(answers)
        self.sizes: list[int] = []
        self.pauses: list[float] = []
        self.calls = PublishCalls(
            PublishTarget.of("http://127.0.0.1:8000", None, None, 10.0, 1, "fanwire"), self.post, self.sleep
        )

    async def post(self, body: bytes, timeout: float) -> PublishAnswer:
        self.sizes.append(len(json.loads(body)))
        answer = next(self._answers, PublishAnswer(0, b""))
        if answer is None:
            raise PostFailed("no answer")
        results = [{"room": "r", "seq": 1}] * self.sizes[-1]
        return answer if answer.status else PublishAnswer(200, json.dumps({"results": results}).encode())

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def many(self, count: int) -> list[fanwire.Published]:
        return asyncio.run(self.calls.publish_many([("r", 1)] * count, None))


def test_an_attempt_without_success_is_made_again_after_a_pause() -> None:
    script = Script(None, BUSY)
    assert len(script.many(3)) == 3
    assert script.sizes == [3, 3, 3]
    assert len(script.pauses) == 2


def test_batches_behind_one_that_was_given_up_are_not_sent() -> None:
    script = Script(REFUSED)
    with pytest.raises(fanwire.PublishFailed) as caught:
        script.many(2 * BATCH_MESSAGES + 1)
    assert script.sizes == [BATCH_MESSAGES]
    assert {type(result) for result in caught.value.results} == {fanwire.RequestFailed}
    assert len(caught.value.results) == 2 * BATCH_MESSAGES + 1


def test_a_close_ends_a_call_that_would_try_again_and_later_calls() -> None:
    script = Script(None)

    async def sleep(seconds: float) -> None:
        script.calls.is_closed = True

    script.calls._sleep = sleep
    publication = fanwire.Publication("r", 1)
    with pytest.raises(fanwire.Closed, match="unknown whether"):
        asyncio.run(script.calls.publish(publication, None))
    with pytest.raises(fanwire.Closed, match="is closed"):
        asyncio.run(script.calls.publish(publication, None))
    assert script.sizes == [1]
