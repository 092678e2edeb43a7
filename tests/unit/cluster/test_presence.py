"""Who is elsewhere: what nodes say, what it changes, and what was missed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.cluster.presence import Afar, Ask, Came, Change, There, Went, pack_whereabouts, unpack_whereabouts


@pytest.mark.parametrize(
    "word",
    [Came(1, 2, "a", {"name": "ä"}), Went(1, 2, "a"), There(1, 2, {"a": None, "b": [1]}), There(1, 0, {}), Ask(1)],
)
def test_a_word_comes_back(word: Any) -> None:
    assert unpack_whereabouts(pack_whereabouts(word)) == word


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"null",
        b'["other",1]',
        b'["ask"]',
        b'["ask","1"]',
        b'["went",1,2,"\xff"]',
        b'["came",1,2,"a",' + b"9" * 30 + b"]",
        b'["came",1,2,"a",1e999]',
        b'["came",1,2,"a",' + b"[" * 5000 + b"]" * 5000 + b"]",
    ],
)
def test_what_is_no_word(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - also that of the codec
        unpack_whereabouts(data)


@given(st.binary(max_size=30) | st.binary(max_size=20).map(lambda data: b'["ask",' + data))
def test_any_bytes_are_a_word_or_a_value_error(data: bytes) -> None:
    try:
        unpack_whereabouts(data)
    except ValueError:
        return


def test_they_come_and_go() -> None:
    afar = Afar()
    assert afar.take("r", Came(1, 1, "a", "A")) == ([Change("r", "a", "A", True)], False)
    assert afar.take("r", Came(2, 1, "b", "B")) == ([Change("r", "b", "B", True)], False)
    assert afar.members("r") == {"a": "A", "b": "B"}
    assert afar.members("other") == {}
    assert afar.take("r", Went(1, 2, "a")) == ([Change("r", "a", "A", False)], False)
    assert afar.members("r") == {"b": "B"}


def test_what_is_told_again_changes_nothing() -> None:
    afar = Afar()
    afar.take("r", Came(1, 1, "a", "A"))
    afar.take("r", Came(1, 2, "b", "B"))
    for word in (Came(1, 1, "a", "A"), Came(1, 2, "b", "B"), Went(1, 1, "a"), There(1, 1, {})):
        assert afar.take("r", word) == ([], False)
    assert afar.members("r") == {"a": "A", "b": "B"}


def test_a_number_that_is_missing_is_noticed() -> None:
    afar = Afar()
    afar.take("r", Came(1, 1, "a", "A"))
    assert afar.take("r", Came(1, 3, "c", "C")) == ([Change("r", "c", "C", True)], True)
    assert afar.take("r", Went(1, 5, "x")) == ([], True)
    # All of them, and it goes on from there.
    assert afar.take("r", There(1, 5, {"b": "B", "c": "C"})) == (
        [Change("r", "a", "A", False), Change("r", "b", "B", True)],
        False,
    )
    assert afar.take("r", Went(1, 6, "b")) == ([Change("r", "b", "B", False)], False)


def test_with_a_node_go_its_members() -> None:
    afar = Afar()
    afar.take("r", There(1, 1, {"a": 1}))
    afar.take("s", There(1, 1, {"a": 1}))
    afar.take("r", There(2, 1, {"b": 2}))
    assert afar.drop(1) == [Change("r", "a", 1, False), Change("s", "a", 1, False)]
    assert afar.drop(1) == []
    assert (afar.members("r"), afar.members("s")) == ({"b": 2}, {})


def test_a_room_is_forgotten() -> None:
    afar = Afar()
    afar.take("r", There(1, 1, {"a": 1}))
    afar.forget("r")
    afar.forget("r")
    assert afar.members("r") == {}
    assert afar.take("r", There(1, 1, {"a": 1})) == ([Change("r", "a", 1, True)], False)
