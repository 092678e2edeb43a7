"""Messages from frames, against the obvious reference: join the fragments, then decode."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.client.assembly import BINARY, CONTINUATION, TEXT, MessageAssembly, Violation

LIMIT = 64


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def feed(assembly: MessageAssembly, opcode: int, fragments: list[bytes]) -> bytes | str | None:
    """All fragments; the last one is final. Nothing may come before it."""
    for number, fragment in enumerate(fragments):
        is_last = number == len(fragments) - 1
        message = assembly.add(opcode if number == 0 else CONTINUATION, is_last, fragment)
        if not is_last:
            assert message is None
            assert assembly.is_open
    assert not assembly.is_open
    return message


@given(st.binary(max_size=LIMIT), st.lists(st.integers(0, LIMIT), max_size=6))
def test_binary_is_what_the_fragments_are_together(data: bytes, places: list[int]) -> None:
    assembly = MessageAssembly(LIMIT)
    for _ in range(2):
        assert feed(assembly, BINARY, cut(data, places)) == data


@given(st.text(max_size=LIMIT // 4), st.lists(st.integers(0, LIMIT), max_size=6))
def test_text_may_be_cut_within_characters(text: str, places: list[int]) -> None:
    assert feed(MessageAssembly(LIMIT), TEXT, cut(text.encode(), places)) == text


@given(st.binary(max_size=LIMIT), st.lists(st.integers(0, LIMIT), max_size=6))
def test_text_is_accepted_exactly_when_all_of_it_is_utf8(data: bytes, places: list[int]) -> None:
    try:
        expected = data.decode()
    except UnicodeDecodeError:
        with pytest.raises(Violation) as violation:
            feed(MessageAssembly(LIMIT), TEXT, cut(data, places))
        assert violation.value.code == 1007
    else:
        assert feed(MessageAssembly(LIMIT), TEXT, cut(data, places)) == expected


@given(st.lists(st.binary(max_size=LIMIT), min_size=1, max_size=6))
def test_the_limit_is_that_of_the_sum(fragments: list[bytes]) -> None:
    if sum(map(len, fragments)) <= LIMIT:
        assert feed(MessageAssembly(LIMIT), BINARY, fragments) == b"".join(fragments)
    else:
        with pytest.raises(Violation) as violation:
            feed(MessageAssembly(LIMIT), BINARY, fragments)
        assert violation.value.code == 1009


def test_wrong_text_fails_with_the_fragment_that_makes_it_wrong() -> None:
    assembly = MessageAssembly(LIMIT)
    assert assembly.add(TEXT, False, b"\xe2\x82") is None
    with pytest.raises(Violation) as violation:
        assembly.add(CONTINUATION, False, b"x")
    assert violation.value.code == 1007


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("fin", [False, True])
def test_no_message_begins_within_another(opcode: int, fin: bool) -> None:
    assembly = MessageAssembly(LIMIT)
    assembly.add(BINARY, False, b"x")
    with pytest.raises(Violation, match="within") as violation:
        assembly.add(opcode, fin, b"y")
    assert violation.value.code == 1002


@pytest.mark.parametrize("fin", [False, True])
def test_nothing_is_continued_that_has_not_begun(fin: bool) -> None:
    assembly = MessageAssembly(LIMIT)
    for _ in range(2):
        with pytest.raises(Violation, match="continuation") as violation:
            assembly.add(CONTINUATION, fin, b"x")
        assert violation.value.code == 1002
        assembly.add(BINARY, False, b"x")
        assembly.add(CONTINUATION, True, b"y")


def test_an_empty_first_fragment_begins_a_message() -> None:
    assembly = MessageAssembly(LIMIT)
    assert assembly.add(TEXT, False, b"") is None
    assert assembly.is_open
    assert assembly.add(CONTINUATION, True, b"") == ""


def test_it_knows_what_it_holds() -> None:
    assembly = MessageAssembly(LIMIT)
    assert (assembly.is_open, assembly.size) == (False, 0)
    assembly.add(BINARY, False, b"xy")
    assembly.add(CONTINUATION, False, b"z")
    assert (assembly.is_open, assembly.size) == (True, 3)
    assembly.add(CONTINUATION, True, b"z")
    assert (assembly.is_open, assembly.size) == (False, 0)


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_fragments_are_counted_whatever_is_in_them(payload: bytes) -> None:
    assembly = MessageAssembly(LIMIT, max_fragments=5)
    for _ in range(2):
        assembly.add(BINARY, False, payload)
        for _ in range(3):
            assembly.add(CONTINUATION, False, b"")
        assert assembly.add(CONTINUATION, True, b"") == payload
    assembly.add(BINARY, False, payload)
    for _ in range(4):
        assembly.add(CONTINUATION, False, b"")
    with pytest.raises(Violation, match="5 fragments") as violation:
        assembly.add(CONTINUATION, True, b"")
    assert violation.value.code == 1009
