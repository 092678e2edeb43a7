"""Messages between nodes in parts."""

from __future__ import annotations

import pytest

from fanwire.cluster.link_parts import ASKED, HEAD, MOST_PARTS, LinkPart, LinkParts, parts_of, unpack_part


def sent(data: bytes, max_bytes: int = HEAD + 10, number: int = 1) -> list[LinkPart]:
    parts = list(parts_of(ASKED, "1a2b3c.", number, data, max_bytes))
    assert all(len(part) <= max_bytes for part in parts)
    return [unpack_part(part) for part in parts]


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 99, 100, 101])
def test_a_message_comes_as_it_was(size: int) -> None:
    data, parts = bytes(range(size)), LinkParts(10)
    found = [parts.take(part) for part in sent(data)]
    assert found[-1] == data
    assert found[:-1] == [None] * (len(found) - 1)


def test_messages_may_come_between_each_other() -> None:
    parts = LinkParts(10)
    one, two = sent(b"a" * 15, number=1), sent(b"b" * 15, number=2)
    assert [parts.take(part) for part in (one[0], two[0], one[1], two[1])] == [None, None, b"a" * 15, b"b" * 15]


def test_a_message_with_a_lost_part_is_dropped() -> None:
    parts, message = LinkParts(10), sent(b"a" * 35)
    assert [parts.take(part) for part in (message[0], message[2], message[3], message[1])] == [None] * 4


def test_only_so_many_are_incomplete() -> None:
    parts = LinkParts(2)
    messages = [sent(b"a" * 15, number=number) for number in range(3)]
    for message in messages:
        parts.take(message[0])
    assert [parts.take(message[1]) is not None for message in messages] == [False, True, True]


def test_what_is_too_large() -> None:
    with pytest.raises(ValueError, match="too large"):
        sent(b"a" * (10 * MOST_PARTS + 1))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", *(
    bytes([0x96, 0, 0xA2, 0x61, 0x2E, 1, index, count, 0xC4, 0]) for index, count in ((0, 0), (1, 1), (0, 65))
)])  # fmt: skip
def test_what_is_no_part(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's own text
        unpack_part(data)
