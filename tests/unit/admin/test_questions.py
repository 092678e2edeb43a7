"""Questions between nodes: each can be read again, and has a type for its answer."""

from __future__ import annotations

import typing

import msgspec
import pytest

from fanwire.admin.questions import ANSWERS, ConnectionsQuestion, OperatorQuestion, RoomsQuestion, unpack_question


@pytest.mark.parametrize(
    "question",
    [RoomsQuestion("a*", "name", None, 5), ConnectionsQuestion(subject="ann", after=("5f3a21", 1 << 40), limit=1)],
)
def test_a_question_comes_as_it_was_sent(question: OperatorQuestion) -> None:
    assert unpack_question(msgspec.msgpack.encode(question)) == question


def test_each_question_has_a_type_of_answer() -> None:
    assert set(ANSWERS) == set(typing.get_args(OperatorQuestion))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", msgspec.msgpack.encode({"type": "of a newer version"})])
def test_what_is_no_question(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a question of a node"):
        unpack_question(data)
