"""What a node has published, whichever way, in order."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from helpers.wait import within

from fanwire.errors import Overloaded
from fanwire.testing import Publications, RecordedPublish
from fanwire.testing import publications as module


class OwnNode:
    """Publishes, and answers with the number."""

    def __init__(self) -> None:
        self.seq = 0
        self.is_full = False

    def publish(self, *arguments: Any, **options: Any) -> int:
        if self.is_full:
            raise Overloaded("full")
        self.seq += 1
        return self.seq

    publish_acked = publish


@pytest.fixture
def node() -> Any:
    return OwnNode()


@pytest.fixture
def published(node: Any) -> Publications:
    made = Publications()
    made.watch(node)
    return made


def test_each_form_of_data_is_as_clients_get_it(node: Any, published: Publications) -> None:
    assert node.publish("a", b'{"x":1}', True, "k", [], "latest") == 1
    assert node.publish_acked("a", "text", False, None, (), None, id="1") == 2
    assert node.publish("b", b"\x00", False, key="k", delivery="reliable") == 3
    assert list(published) == [
        RecordedPublish("a", {"x": 1}, "k", "latest"),
        RecordedPublish("a", "text"),
        RecordedPublish("b", b"\x00", "k", "reliable"),
    ]
    assert len(published) == 3
    assert published.room("a").data == [{"x": 1}, "text"]


def test_a_refused_publish_is_not_one(node: Any, published: Publications) -> None:
    node.is_full = True
    with pytest.raises(Overloaded):
        node.publish("a", "x", False)
    assert list(published) == []


async def test_a_room_is_read_once_and_has_all_that_came_before(node: Any, published: Publications) -> None:
    node.publish("a", "1", False)
    room = published.room("a")
    assert published.room("a") is room
    node.publish("b", "other", False)
    node.publish("a", "2", False)
    assert [(await within(anext(room))).data for _ in range(2)] == ["1", "2"]
    waiting = asyncio.ensure_future(anext(room))
    await asyncio.sleep(0)
    threading.Thread(target=node.publish, args=("a", "3", False)).start()
    assert (await within(waiting)).data == "3"
    assert room.data == ["1", "2", "3"]


async def test_a_cancelled_wait_loses_nothing(node: Any, published: Publications) -> None:
    room = published.room("a")
    waiting = asyncio.ensure_future(anext(room))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    node.publish("a", "1", False)
    assert (await within(anext(room))).data == "1"


def test_the_newest_are_kept(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    published = Publications()
    published.watch(node)
    for number in range(5):
        node.publish("a", str(number), False)
    assert published.room("a").data == ["2", "3", "4"]
    node.publish("a", "5", False)
    assert published.room("a").data == ["3", "4", "5"]


def test_a_room_has_a_name() -> None:
    with pytest.raises(ValueError, match="room"):
        Publications().room("")
