"""What nodes tell each other comes back from its bytes; whatever else comes is a ValueError."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.cluster.announcements import Announcement, Beat, CountsQuery, pack_announcement, unpack_announcement

NODES = st.integers(0, 2**63 - 1)
ROOMS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=10), max_size=5)
encode = msgspec.msgpack.encode


@given(st.builds(Beat, NODES) | st.builds(CountsQuery, NODES, ROOMS))
def test_a_word_comes_back(word: Announcement) -> None:
    assert unpack_announcement(pack_announcement(word)) == word


def test_their_bytes() -> None:
    assert pack_announcement(Beat(7)) == encode(["beat", 7, False])
    assert pack_announcement(CountsQuery(7, ["a"])) == encode(["counts", 7, ["a"]])


def test_a_later_version_may_say_more() -> None:
    assert unpack_announcement(encode(["beat", 7, False, "more"])) == Beat(7)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xff",
        b"beat",
        encode(None),
        encode([]),
        encode({"type": "beat", "node": 1}),
        encode(["beat"]),
        encode(["beat", "1"]),
        encode(["beat", True]),
        encode(["beat", 1.5]),
        encode(["counts", 1]),
        encode(["counts", 1, [1]]),
        encode(["counts", 1, "a"]),
        encode(["other", 1]),
        encode(["beat", 1]) + b"\0",
        encode(["counts", 1, ["a"]])[:-1],
        # A room, or a word, that is no UTF-8.
        encode(["counts", 1, ["a"]])[:-1] + b"\xff",
        encode(["beat", 1]).replace(b"beat", b"be\xff\xfe"),
        b"\x91" * 100_000,
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_word(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - also that of the codec
        unpack_announcement(data)


@given(st.binary(max_size=30) | st.binary(max_size=20).map(lambda data: b"\x92\xa4beat" + data))
def test_any_bytes_are_a_word_or_a_value_error(data: bytes) -> None:
    try:
        word = unpack_announcement(data)
    except ValueError:
        return
    assert isinstance(word, (Beat, CountsQuery))
