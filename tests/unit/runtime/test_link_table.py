"""The table of links: each link counts once, by the kind that it had when it was added."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from fanwire.runtime.link import Link
from fanwire.runtime.link_table import LinkTable


def link(id: int, transport: str = "sse", codec: str | None = None) -> Link:
    session = None if codec is None else SimpleNamespace(codec=SimpleNamespace(name=codec))
    made: Any = SimpleNamespace(id=id, transport=transport, connection=SimpleNamespace(_session=session))
    return cast("Link", made)


async def test_each_link_counts_once_by_its_kind() -> None:
    table = LinkTable()
    one, two = link(1), link(2, "websocket", "json")
    for added in (one, two, one):
        table.add(added)
    assert {kind for kind, count in table.kinds.items() if count} == {("sse", "raw"), ("websocket", "json")}
    assert sum(table.kinds.values()) == len(table.by_id) == 2
    # It may get another connection.
    one.connection = two.connection
    for removed in (one, one):
        table.remove(removed)
        assert not table.idle.is_set()
    assert (table.by_id, sum(table.kinds.values())) == ({2: two}, 1)
    table.remove(two)
    await asyncio.wait_for(table.idle.wait(), 20)
    assert not any(table.kinds.values())
