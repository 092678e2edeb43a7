"""Who is elsewhere: what nodes say, what it changes, and what was missed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.cluster.presence import (
    MemberCame,
    MemberChange,
    MemberList,
    MemberQuery,
    MemberWent,
    RemoteMembers,
    pack_presence,
    unpack_presence,
)


@pytest.mark.parametrize(
    "word",
    [
        MemberCame(1, 2, "a", {"name": "ä"}),
        MemberWent(1, 2, "a"),
        MemberList(1, 2, {"a": None, "b": [1]}),
        MemberList(1, 0, {}),
        MemberQuery(1),
    ],
)
def test_a_word_comes_back(word: Any) -> None:
    assert unpack_presence(pack_presence(word)) == word


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
        unpack_presence(data)


@given(st.binary(max_size=30) | st.binary(max_size=20).map(lambda data: b'["ask",' + data))
def test_any_bytes_are_a_word_or_a_value_error(data: bytes) -> None:
    try:
        unpack_presence(data)
    except ValueError:
        return


def test_they_come_and_go() -> None:
    afar = RemoteMembers()
    assert afar.take("r", MemberCame(1, 1, "a", "A")) == ([MemberChange("r", "a", "A", True)], False)
    assert afar.take("r", MemberCame(2, 1, "b", "B")) == ([MemberChange("r", "b", "B", True)], False)
    assert afar.members("r") == {"a": "A", "b": "B"}
    assert afar.members("other") == {}
    assert afar.take("r", MemberWent(1, 2, "a")) == ([MemberChange("r", "a", "A", False)], False)
    assert afar.members("r") == {"b": "B"}


def test_what_is_told_again_changes_nothing() -> None:
    afar = RemoteMembers()
    afar.take("r", MemberCame(1, 1, "a", "A"))
    afar.take("r", MemberCame(1, 2, "b", "B"))
    for word in (MemberCame(1, 1, "a", "A"), MemberCame(1, 2, "b", "B"), MemberWent(1, 1, "a"), MemberList(1, 1, {})):
        assert afar.take("r", word) == ([], False)
    assert afar.members("r") == {"a": "A", "b": "B"}


def test_a_number_that_is_missing_is_noticed() -> None:
    afar = RemoteMembers()
    afar.take("r", MemberCame(1, 1, "a", "A"))
    assert afar.take("r", MemberCame(1, 3, "c", "C")) == ([MemberChange("r", "c", "C", True)], True)
    assert afar.take("r", MemberWent(1, 5, "x")) == ([], True)
    # All of them, and it goes on from there.
    assert afar.take("r", MemberList(1, 5, {"b": "B", "c": "C"})) == (
        [MemberChange("r", "a", "A", False), MemberChange("r", "b", "B", True)],
        False,
    )
    assert afar.take("r", MemberWent(1, 6, "b")) == ([MemberChange("r", "b", "B", False)], False)


def test_with_a_node_go_its_members() -> None:
    afar = RemoteMembers()
    afar.take("r", MemberList(1, 1, {"a": 1}))
    afar.take("s", MemberList(1, 1, {"a": 1}))
    afar.take("r", MemberList(2, 1, {"b": 2}))
    assert afar.drop(1) == [MemberChange("r", "a", 1, False), MemberChange("s", "a", 1, False)]
    assert afar.drop(1) == []
    assert (afar.members("r"), afar.members("s")) == ({"b": 2}, {})


def test_a_room_is_forgotten() -> None:
    afar = RemoteMembers()
    afar.take("r", MemberList(1, 1, {"a": 1}))
    afar.forget("r")
    afar.forget("r")
    assert afar.members("r") == {}
    assert afar.take("r", MemberList(1, 1, {"a": 1})) == ([MemberChange("r", "a", 1, True)], False)
