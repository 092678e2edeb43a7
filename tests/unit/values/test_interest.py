"""Conditions and tags: how they are written, and what the engine gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fanwire import Where, between, where
from fanwire._engine import check_audience, check_filter
from fanwire.values.interest import audience_of, filter_of


@pytest.mark.parametrize(
    ("condition", "document"),
    [
        (where(cell=17), {"cell": 17}),
        (where(cell=[16, 17], team="red"), {"cell": {"in": [16, 17]}, "team": "red"}),
        (where(level=between(1, 2.5)), {"level": {"range": [1, 2.5]}}),
        (where(level=between(high=3)), {"level": {"range": [None, 3]}}),
        (~where(team="red"), {"not": {"team": "red"}}),
        (where(a=1) & where(b=True), {"and": [{"a": 1}, {"b": True}]}),
        (where(a=1) | ~where(b="x"), {"or": [{"a": 1}, {"not": {"b": "x"}}]}),
    ],
)
def test_a_condition_is_a_document_that_the_engine_reads(condition: Where, document: dict[str, Any]) -> None:
    assert condition.document == document
    assert json.loads(condition.json) == document
    assert check_filter(condition.json) is None
    assert repr(condition) == f"<Where {condition.json.decode()}>"


def test_a_set_of_values_is_a_list_of_them() -> None:
    (values,) = json.loads(where(symbol={"a", "b"}).json).values()
    assert sorted(values["in"]) == ["a", "b"]


def test_what_is_no_condition() -> None:
    with pytest.raises(TypeError, match="name of an attribute"):
        where()
    with pytest.raises(TypeError, match="cell must be a value"):
        where(cell={"in": [1]})
    with pytest.raises(TypeError, match="low must be a number"):
        between("1")  # type: ignore[arg-type]  # what is wrong is the test
    with pytest.raises(ValueError, match=r"low must not be above high, got 2 and 1"):
        between(2, 1)
    assert where(a=between(1, 1)).document == {"a": {"range": [1, 1]}}
    with pytest.raises(TypeError, match="unsupported operand"):
        where(a=1) & {"b": 1}  # type: ignore[operator]  # what is wrong is the test
    with pytest.raises(TypeError, match="where must consist of"):
        _ = where(a=[b"x"]).json  # type: ignore[list-item]  # what is wrong is the test


def test_an_audience_has_what_is_given() -> None:
    assert audience_of(None, None) is None
    both = audience_of(where(a=1), {"symbol": "x", "price": 1.5})
    assert both is not None
    assert json.loads(both) == {"where": {"a": 1}, "tags": {"symbol": "x", "price": 1.5}}
    assert check_audience(both) is None
    assert audience_of({"a": {"in": [1]}}, None) == b'{"where":{"a":{"in":[1]}}}'
    for wrong in ((1, None), (None, ["x"]), (None, {"a": b"x"})):
        with pytest.raises(TypeError):
            audience_of(*wrong)  # type: ignore[arg-type]  # what is wrong is the test


def test_the_engine_names_the_place_of_what_is_wrong() -> None:
    assert check_filter(filter_of({"price": {"range": [1, "x"]}})) == ("$.price.range[1]", "must be a number or null")
    wrong = audience_of(None, {"tag": {"a": 1}})
    assert wrong is not None
    assert check_audience(wrong) == ("$.tags.tag", "must be a text, a number, true or false")


def test_a_range_that_holds_for_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"low must not be above high, got 2 and 1.5"):
        between(2, 1.5)
    fault = check_filter(filter_of({"price": {"range": [2, 1.5]}}))
    assert fault == ("$.price.range", "holds for no number, because its first bound is above its second")
    assert check_filter(filter_of({"price": {"range": [2, 2]}})) is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_have_are_refused(bad: float) -> None:
    # As null they would be no bound, and the condition would hold for more members.
    for wrong in ((bad, 5), (1, bad)):
        with pytest.raises(ValueError, match="must be finite"):
            between(*wrong)
    for value in (bad, [1.5, bad], {bad}):
        with pytest.raises(TypeError, match="numbers must be finite"):
            _ = where(a=value).json
    with pytest.raises(TypeError, match="numbers must be finite"):
        audience_of({"a": {"range": [bad, 5]}}, {"b": "null"})
    assert where(a=between(1), b="null", c=1.5).json == b'{"a":{"range":[1,null]},"b":"null","c":1.5}'
