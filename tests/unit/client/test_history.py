"""Reading what a room keeps, page by page."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fanwire.client.clock_offset import ClockOffset
from fanwire.client.history import RoomHistory
from fanwire.errors import RequestFailed


class Pages:
    """A server with these pages: the numbers of their messages. `asked` has the payloads."""

    def __init__(self, *pages: list[int], more: bool = False) -> None:
        self.pages = list(pages)
        self.more = more
        self.asked: list[Any] = []

    async def ask(self, payload: Any) -> Any:
        self.asked.append(payload)
        more = self.more or len(self.pages) > 1
        numbers = self.pages[0] if self.more else self.pages.pop(0)
        messages = [{"type": "message", "seq": seq, "ts": 1, "payload": seq} for seq in numbers]
        return {"epoch": "e", "messages": messages, "more": more}


def history(ask: Any, *, before: int | None = None, after: int | None = None, limit: int | None = None) -> RoomHistory:
    return RoomHistory(ask, "r", before, after, None, limit, ClockOffset())


async def test_pages_follow_each_other_in_both_directions() -> None:
    back = Pages([7, 8], [5, 6], [4])
    assert [message.seq async for message in history(back.ask)] == [8, 7, 6, 5, 4]
    assert [(each.get("before"), each.get("epoch")) for each in back.asked] == [(None, None), (7, "e"), (5, "e")]
    on = Pages([1, 2], [3, 4], [5])
    assert [message.seq async for message in history(on.ask, after=0)] == [1, 2, 3, 4, 5]
    assert [each["after"] for each in on.asked] == [0, 2, 4]


@pytest.mark.parametrize("after", [None, 0])
async def test_reading_goes_on_after_a_page_that_was_cancelled_or_refused(after: int | None) -> None:
    server = Pages([7, 8], [5, 6]) if after is None else Pages([1, 2], [3, 4])
    failures: list[BaseException] = [asyncio.CancelledError(), RequestFailed("rate_limited", "", retry=True)]

    async def ask(payload: Any) -> Any:
        if len(server.pages) == 1 and failures:
            raise failures.pop()
        return await server.ask(payload)

    reading = aiter(history(ask, after=after))
    found = [(await anext(reading)).seq for _ in range(2)]
    with pytest.raises(RequestFailed):
        await anext(reading)
    with pytest.raises(asyncio.CancelledError):
        await anext(reading)
    found += [message.seq async for message in reading]
    assert found == ([8, 7, 6, 5] if after is None else [1, 2, 3, 4])
    with pytest.raises(StopAsyncIteration):
        await anext(reading)


async def test_a_list_is_in_the_order_of_the_numbers_and_keeps_to_its_limit() -> None:
    server = Pages([7, 8], [5, 6], [4], [1])
    assert [message.seq for message in await history(server.ask, limit=5)] == [4, 5, 6, 7, 8]
    assert [each["limit"] for each in server.asked] == [5, 3, 1]


@pytest.mark.parametrize("numbers", [[], [9], [5, 6]])
async def test_a_server_that_says_more_and_has_nothing_new_does_not_keep_the_client(numbers: list[int]) -> None:
    server = Pages(numbers, more=True)
    assert len(await history(server.ask, before=7)) == len([number for number in numbers if number < 7])
    assert len(server.asked) <= 2


@pytest.mark.parametrize("answer", [None, 5, {}, {"epoch": "e", "messages": 1}, {"epoch": "e", "messages": [{}]}])
async def test_an_answer_that_cannot_be_read_fails(answer: Any) -> None:
    async def ask(payload: Any) -> Any:
        return answer

    with pytest.raises(RequestFailed) as failed:
        await history(ask)
    assert failed.value.code == "unreadable"


async def test_bytes_and_what_is_not_base64() -> None:
    entry = {"type": "message", "seq": 1, "ts": 1, "payload": "AAE=", "encoding": "base64"}

    async def ask(payload: Any) -> Any:
        return {"epoch": "e", "messages": [entry], "more": False}

    assert [message.data for message in await history(ask)] == [b"\x00\x01"]
    entry["payload"] = "?"
    with pytest.raises(RequestFailed):
        await history(ask)
