"""Pages that are merged from the parts of several nodes: whole, in order, and without doubles."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fanwire.admin.merging import Part, merged

Item = tuple[int, int]


def part(items: list[int], after: int, limit: int) -> Part:
    """What a node with these items sends."""
    rest = sorted(item for item in set(items) if item > after)
    return Part([(item, 1) for item in rest[:limit]], len(rest) > limit)


def both(one: Item, other: Item) -> Item:
    return one[0], one[1] + other[1]


@given(st.lists(st.lists(st.integers(0, 30)), max_size=4), st.integers(1, 5))
def test_page_by_page_everything_comes_once(nodes: list[list[int]], limit: int) -> None:
    seen: list[Item] = []
    after, more = -1, True
    while more:
        parts = [part(items, after, limit) for items in nodes]
        found, more = merged(parts, lambda item: item[0], limit, both)
        assert len(found) <= limit
        assert found or not more
        seen += found
        after = found[-1][0] if found else after
    names = sorted({item for items in nodes for item in items})
    assert seen == [(name, sum(name in items for items in nodes)) for name in names]


def test_a_short_page_of_a_node_ends_the_page() -> None:
    # The first node has sent less than the limit, and may have 3.
    parts = [Part([(1, 1), (2, 1)], True), Part([(2, 1), (4, 1)], False)]
    assert merged(parts, lambda item: item[0], 5, both) == ([(1, 1), (2, 2)], True)
