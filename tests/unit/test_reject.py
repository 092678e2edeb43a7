"""What a rejection may say, and how it is found in what a handler raises."""

from __future__ import annotations

import math
import pickle
import sys
from typing import Any

import pytest

from fanwire.reject import CODE_MAX, Reject, reject_of


def test_it_keeps_what_it_was_given() -> None:
    reject = Reject("out_of_stock", "3 are left", data={"left": 3}, retry=True, retry_after=1.5, path="$.amount")
    assert str(reject) == "out_of_stock: 3 are left"
    assert (reject.code, reject.text, reject.data, reject.path) == (
        "out_of_stock",
        "3 are left",
        {"left": 3},
        "$.amount",
    )
    assert (reject.retry, reject.retry_after) == (True, 1.5)
    assert str(Reject("no")) == "no"


def test_a_time_to_try_again_means_that_trying_again_can_succeed() -> None:
    assert Reject("busy", retry_after=0).retry
    assert not Reject("busy").retry


@pytest.mark.parametrize("code", ["", "x" * (CODE_MAX + 1), "a\nb", "\ud800"])
def test_a_code_that_cannot_be_sent_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="code must have 1 to 64 printable characters"):
        Reject(code)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"code": 5}, TypeError), ({"text": None}, TypeError), ({"path": 1}, TypeError),
        ({"retry_after": "1"}, TypeError), ({"retry_after": True}, TypeError), ({"retry_after": -1}, ValueError),
        ({"retry_after": math.inf}, ValueError), ({"retry_after": math.nan}, ValueError),
    ],
)  # fmt: skip
def test_arguments_of_another_type_or_range_are_named(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{next(iter(arguments))} must"):
        Reject(**{"code": "no", **arguments})


def test_it_survives_the_way_from_another_process() -> None:
    reject = pickle.loads(pickle.dumps(Reject("no", "never", data=[1], retry_after=2)))
    assert (reject.code, reject.text, reject.data, reject.retry, reject.retry_after) == ("no", "never", [1], True, 2)


def test_a_subclass_need_not_call_init() -> None:
    class Closed(Reject):
        code = "closed"

        def __init__(self) -> None:
            pass

    assert (Closed().code, Closed().text, Closed().data, str(Closed())) == ("closed", "", None, "closed")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups of exceptions came with Python 3.11")
def test_it_is_found_in_a_group_that_has_nothing_else() -> None:
    group: Any = ExceptionGroup  # noqa: F821 - see the mark above
    no = Reject("no")
    assert reject_of(no) is no
    assert reject_of(group("", [group("", [no]), Reject("neither")])) is no
    assert reject_of(group("", [no, KeyError()])) is None
    assert reject_of(KeyError()) is None
