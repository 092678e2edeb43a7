"""What the application publishes with an id is published once, for as long as the id is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from helpers.wait import within

from fanwire.runtime.publishing import ID_AGE, IDS, IdempotentPublishing


class Numbers:
    """A node that only counts."""

    def __init__(self) -> None:
        self.count = 0

    def publish_acked(
        self, room: str, payload: bytes, json: bool, key: str | None, exclude: Sequence[int], delivery: str | None,
        id: str | None = None, audience: bytes | None = None,
    ) -> int:  # fmt: skip
        if payload == b"bad":
            raise ValueError("too large")
        self.count += 1
        return self.count


def test_an_id_names_one_message_of_a_room_for_two_minutes() -> None:
    now = [0.0]
    published = IdempotentPublishing(Numbers(), lambda: now[0])
    assert published.publish("a", b"1", False, id="x") == 1
    now[0] = ID_AGE - 1
    assert published.publish("a", b"2", False, id="x") == 1
    assert published.publish("b", b"1", False, id="x") == 2
    assert published.publish("a", b"1", False, id="y") == 3
    assert published.publish("a", b"1", False) == 4
    now[0] = ID_AGE
    assert published.publish("a", b"1", False, id="x") == 5


def test_what_failed_may_be_tried_again_with_the_same_id() -> None:
    published = IdempotentPublishing(Numbers())
    with pytest.raises(ValueError, match="too large"):
        published.publish("a", b"bad", False, id="x")
    assert published.publish("a", b"good", False, id="x") == 1


def test_the_oldest_ids_are_forgotten() -> None:
    published = IdempotentPublishing(Numbers())
    for number in range(IDS + 1):
        published.publish("a", b"", False, id=str(number))
    assert published.publish("a", b"", False, id=str(IDS)) == IDS + 1
    assert published.publish("a", b"", False, id="0") == IDS + 2


@pytest.mark.parametrize("id", ["", "x" * 201, "\u20ac" * 67])
def test_an_id_of_another_length_is_refused(id: str) -> None:
    with pytest.raises(ValueError, match=r"^id must have 1 to 200 bytes, got"):
        IdempotentPublishing(Numbers()).publish("a", b"", False, id=id)


async def test_a_message_that_waits_for_its_tick_is_not_published_again() -> None:
    tick: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Later(Numbers):
        def publish_acked(self, *message: Any, **options: Any) -> Any:
            self.count += 1
            return tick

    node: Any = Later()
    published = IdempotentPublishing(node)
    first, second = (asyncio.ensure_future(published.publish("a", b"1", False, id="x")) for _ in range(2))
    first.cancel()
    tick.set_result(5)
    assert await within(second) == 5
    assert published.publish("a", b"1", False, id="x") == 5
    assert node.count == 1
