"""Assertions about what a source received, and their texts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any
from unittest.mock import ANY

import pytest

from fanwire import Gap, Message, RoomEnded
from fanwire.testing import expect, received
from fanwire.testing.expectation import SHOWN
from fanwire.testing.waiting import within


class Source:
    """A source with messages; then it waits, or ends."""

    name = "chat"

    def __init__(self, data: Iterable[Any], end: Exception | None = None) -> None:
        self.messages = [one if isinstance(one, Message) else Message(one) for one in data]
        self.end = end

    async def __anext__(self) -> Message:
        if self.messages:
            return self.messages.pop(0)
        if self.end is None:
            await asyncio.Event().wait()
        raise self.end


class Ticking:
    """A source whose messages never stop."""

    name = "ticks"

    async def __anext__(self) -> Message:
        await asyncio.sleep(0.01)
        return Message("tick")


def text_of(error: pytest.ExceptionInfo[AssertionError]) -> list[str]:
    return [line.strip() for line in str(error.value).splitlines()]


async def test_messages_in_order_are_taken_and_no_more() -> None:
    source = Source([1, {"a": 2}, 3.0001, "rest"])
    messages = await expect(source).to_receive(1, {"a": ANY}, pytest.approx(3, abs=0.1))
    assert [message.data for message in messages] == [1, {"a": 2}, 3.0001]
    assert [message.data for message in source.messages] == ["rest"]


async def test_a_missing_message_is_shown() -> None:
    with pytest.raises(AssertionError) as error:
        await expect(Source(["a"]), within=0.02).to_receive("a", "b", "c")
    assert text_of(error) == [
        "room 'chat': only 1 of 3 came within 0.02 s", "expected: 'a', 'b', 'c'", "received: 'a'", "missing:  'b', 'c'",
    ]  # fmt: skip


async def test_another_message_is_shown_at_once_with_the_gap_before_it() -> None:
    gap = Gap("slow", 1, 3)
    with pytest.raises(AssertionError) as error:
        await expect(Source(["a", Message("x", gap=gap), "b"]), within=30).to_receive("a", "b")
    assert text_of(error) == [
        "room 'chat': message 2 is not the expected one", "expected: 'a', 'b'", "received: 'a', 'x'",
        f"gap:      before message 2: {gap}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("end", "what"),
    [
        (StopAsyncIteration(), "none of 1 came before the end"),
        (RoomEnded("chat", "removed"), "none of 1 came before the end: room 'chat' has ended: removed"),
    ],
)
async def test_an_end_is_shown_at_once(end: Exception, what: str) -> None:
    with pytest.raises(AssertionError) as error:
        await expect(Source([], end), within=30).to_receive(1)
    assert text_of(error)[0] == f"room 'chat': {what}"


async def test_any_order() -> None:
    await expect(Source([2, 1, 2])).to_receive_in_any_order(1, 2, 2)
    with pytest.raises(AssertionError) as error:
        await expect(Source([2, 2, 1]), within=30).to_receive_in_any_order(1, 2, 3)
    assert text_of(error) == [
        "room 'chat': message 2 is not the expected one", "expected: 1, 2, 3", "received: 2, 2", "missing:  1, 3",
    ]  # fmt: skip
    with pytest.raises(AssertionError, match="only 1 of 2 came within"):
        await expect(Source([2]), within=0.02).to_receive_in_any_order(1, 2)


async def test_a_value_is_reached_after_others() -> None:
    source = Source([1, 5, 7, 9])
    assert (await expect(source).to_reach(7)).data == 7
    assert len(source.messages) == 1
    with pytest.raises(AssertionError) as error:
        await expect(Source([1, 2]), within=0.02).to_reach(3)
    assert text_of(error) == [
        "room 'chat': no such message came within 0.02 s", "expected: 3", "received: 1, 2",
    ]  # fmt: skip


async def test_nothing() -> None:
    await expect(Source([])).to_receive_nothing(seconds=0.02)
    await expect(Source([], StopAsyncIteration())).to_receive_nothing(seconds=30)
    with pytest.raises(AssertionError) as error:
        await expect(Source(["a", "b"])).to_receive_nothing(seconds=0.02)
    assert text_of(error) == ["room 'chat': it was to receive nothing", "received: 'a', 'b'"]


async def test_nothing_is_decided_although_messages_never_stop() -> None:
    with pytest.raises(AssertionError, match="it was to receive nothing"):
        await within(expect(Ticking(), within=0.1).to_receive_nothing(seconds=5), 5)


async def test_an_end() -> None:
    await expect(Source([], StopAsyncIteration())).to_end()
    with pytest.raises(AssertionError, match=r"room 'chat' did not end within 0.02 s"):
        await expect(Source([]), within=0.02).to_end()
    with pytest.raises(AssertionError, match="it was to end\n  received: 'a'"):
        await expect(Source(["a"])).to_end()
    with pytest.raises(AssertionError, match="was to end with 'removed', and ended with None"):
        await expect(Source([], StopAsyncIteration())).to_end("removed")


async def test_what_was_received_is_read_until_nothing_comes() -> None:
    assert await received(Source([1, 2]), quiet=0.02) == [1, 2]
    assert await received(Source([1], RoomEnded("chat", "left")), quiet=30) == [1]


async def test_a_long_list_is_cut() -> None:
    with pytest.raises(AssertionError) as error:
        await expect(Source(range(SHOWN + 5)), within=30).to_receive(*range(SHOWN + 4), "last")
    assert text_of(error)[2].endswith(f"{SHOWN - 1}, ... ({SHOWN + 5} in all)")


async def test_raw_messages_are_compared_as_they_are() -> None:
    class RawSource:
        name = "ws://127.0.0.1:1/"

        async def __anext__(self) -> bytes:
            return b"x"

    with pytest.raises(AssertionError, match=r"ws://127.0.0.1:1/: message 1 is not the expected one"):
        await expect(RawSource()).to_receive("x")
    await expect(RawSource()).to_receive(b"x")


@pytest.mark.parametrize("seconds", [-1, "1"])
def test_a_wrong_deadline(seconds: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="within"):
        expect(Source([]), within=seconds)
