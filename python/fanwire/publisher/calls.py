"""The calls of both publishers: batches are delivered one after another, and each call ends with results or an error.

Written once, as coroutines. `AsyncPublisher` awaits them. `Publisher` gives them a `post` and a `sleep` that block the
thread and never suspend, so that they run to their end at once, without an event loop.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from random import SystemRandom
from typing import Any

from fanwire.errors import Closed, FanwireError, RequestFailed
from fanwire.publisher.delivering import BatchDelivery, PublishAnswer
from fanwire.publisher.http_poster import PostFailed, PostTooLarge
from fanwire.publisher.publication import (
    EncodedPublication,
    Publication,
    Published,
    PublishFailed,
    batches_of,
    encoded,
    encoded_all,
)
from fanwire.publisher.target import PublishTarget, check_timeout

__all__ = ["PublishCalls"]


class PublishCalls:
    """Publishes to one server. The methods are described in `Publisher`.

    Args:
        target: the server.
        post: posts a batch within some seconds and returns the answer, or raises `PostFailed` or
            `PostTooLarge`.
        sleep: waits for some seconds.

    Attributes:
        is_closed: whether calls raise `Closed`.
    """

    def __init__(
        self,
        target: PublishTarget,
        post: Callable[[bytes, float], Awaitable[PublishAnswer]],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._target = target
        self._post = post
        self._sleep = sleep
        self.is_closed = False

    async def publish(self, publication: Publication, timeout: float | None) -> Published:
        """Publishes a message."""
        delivery = await self._deliver([encoded(publication)], timeout)
        (result,) = delivery.results()
        if isinstance(result, FanwireError):
            raise result
        return result

    async def publish_many(
        self, messages: Iterable[Publication | tuple[Any, ...]], timeout: float | None
    ) -> list[Published]:
        """Publishes many messages, one batch at a time."""
        results: list[Published | FanwireError] = []
        batches = batches_of(encoded_all(messages))
        for index, batch in enumerate(batches):
            delivery = await self._deliver(batch, timeout)
            results += delivery.results()
            last = results[-1]
            if delivery.is_given_up and isinstance(last, FanwireError):
                # The next batches would fail as this one.
                results += [last] * sum(map(len, batches[index + 1 :]))
                break
        published = [result for result in results if isinstance(result, Published)]
        if len(published) < len(results):
            raise PublishFailed(results)
        return published

    async def _deliver(self, batch: list[EncodedPublication], timeout: float | None) -> BatchDelivery:
        if self.is_closed:
            raise Closed("the publisher is closed")
        seconds = self._target.timeout if timeout is None else check_timeout(timeout)
        delivery = BatchDelivery(batch, self._target.place, time.monotonic() + seconds, seconds, _DICE)
        while delivery.waits(now := time.monotonic()):
            if self.is_closed:
                delivery.give_up(Closed("the publisher was closed: it is unknown whether the message was published"))
                break
            try:
                delivery.answered(await self._post(delivery.body(), delivery.remaining(now)))
            except PostTooLarge as error:
                delivery.too_large(RequestFailed("too_large", str(error), retry=False))
            except PostFailed as error:
                delivery.failed(error)
            if pause := delivery.pause(time.monotonic()):
                await self._sleep(pause)
        return delivery


_DICE = SystemRandom()
"""Not seeded: forked processes would have the same pauses and ids."""
