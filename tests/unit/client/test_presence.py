"""Members page by page, from servers that answer well and from some that do not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import UNSET

from fanwire.client import RequestFailed
from fanwire.client.presence import count_members, read_members


class Pages:
    """A server's answers, and what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    async def ask(self, payload: Any) -> Any:
        self.asked.append(payload)
        return self.answers.pop(0)


def page(*ids: str, next: str | None = None, count: int = 5) -> dict[str, Any]:
    members = [{"id": id, "info": id.upper()} for id in ids]  # noqa: A001 - the name of the field
    return {"count": count, "members": members, **({"next": next} if next else {})}


def members(pages: Pages, limit: int = 5000) -> dict[str, Any]:
    return asyncio.run(read_members(pages.ask, limit))


def test_pages_are_read_to_the_last() -> None:
    pages = Pages(page("a", "b", next="1"), page("c", "d", next="2"), page("e"))
    assert members(pages) == {"a": "A", "b": "B", "c": "C", "d": "D", "e": "E"}
    assert pages.asked == [UNSET, {"after": "1"}, {"after": "2"}]


def test_no_more_are_read_than_wanted() -> None:
    pages = Pages(page("a", "b", next="1"), page("c", "d", "e"))
    assert list(members(pages, 3)) == ["a", "b", "c"]
    assert pages.asked == [{"limit": 3}, {"after": "1", "limit": 1}]
    assert list(members(Pages(page("a", "b", next="1")), 2)) == ["a", "b"]


def test_a_server_that_repeats_itself_is_asked_no_more() -> None:
    pages = Pages(page("a", next="1"), page("a", next="1"), page("b"))
    assert list(members(pages)) == ["a"]
    assert members(Pages(page(next="1"))) == {}


@pytest.mark.parametrize("answer", [None, [], {}, {"count": "1"}, {"count": 1, "members": [{}]}])
def test_an_answer_that_is_none_fails_the_call(answer: Any) -> None:
    with pytest.raises(RequestFailed) as failed:
        members(Pages(answer))
    assert failed.value.code == "unreadable"


def test_members_are_counted_with_one_request() -> None:
    pages = Pages(page("a", next="1", count=7))
    assert asyncio.run(count_members(pages.ask)) == 7
    assert pages.asked == [{"limit": 1}]
