"""Reads the members of a room, which a server lists page by page. Pure: the caller sends the requests.

The rule it keeps: reading ends, whatever a server answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import UNSET

from fanwire.client.codec import MembersInfo
from fanwire.errors import RequestFailed

__all__ = ["MAX_MEMBERS", "count_members", "read_members"]

MAX_MEMBERS = 10_000
"""Members that are read unless the caller says otherwise: ten pages."""
PAGE = 1000
"""Members of a page at most, as docs/protocol.md has it."""

AskPresence = Callable[[Any], Awaitable[Any]]
"""Sends a presence request with this payload, and returns that of the reply."""


async def read_members(ask: AskPresence, limit: int = MAX_MEMBERS) -> dict[str, Any]:
    """The members by id, in the order in which they joined, up to a limit.

    Raises:
        RequestFailed: the server refuses, or its answer cannot be read.
    """
    members: dict[str, Any] = {}
    after: str | None = None
    while True:
        page = await _page(ask, after, limit - len(members))
        before = len(members)
        for member in page.members[: limit - before]:
            members[member.id] = member.info
        # A page without anything new is the last, whatever the server says of a next one.
        if page.next is None or len(members) in (before, limit):
            return members
        after = page.next


async def count_members(ask: AskPresence) -> int:
    """How many members there are.

    Raises:
        RequestFailed: the server refuses, or its answer cannot be read.
    """
    return (await _page(ask, None, 1)).count


async def _page(ask: AskPresence, after: str | None, limit: int) -> MembersInfo:
    wanted: dict[str, Any] = {} if after is None else {"after": after}
    if limit < PAGE:
        wanted["limit"] = limit
    answer = await ask(wanted or UNSET)
    try:
        return msgspec.convert(answer, MembersInfo)
    except msgspec.ValidationError as error:
        raise RequestFailed("unreadable", f"the answer cannot be read: {error}") from error
