"""Messages of publishers: checked, encoded, and split into batches."""

from __future__ import annotations

import json
import pickle
from datetime import date
from typing import Any

import pytest

import fanwire
from fanwire.publisher.publication import (
    BATCH_BYTES,
    BATCH_MESSAGES,
    EncodedPublication,
    Publication,
    Published,
    PublishFailed,
    batches_of,
    encoded,
    encoded_all,
)


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ({"x": [1, None]}, {"payload": {"x": [1, None]}}),
        ("text", {"payload": "text"}),
        ("\u00fc", {"payload": "\u00fc"}),
        (b"\x00\xff", {"payload": "AP8=", "encoding": "base64"}),
        (5, {"payload": 5}),
        (None, {"payload": None}),
        (date(2026, 1, 2), {"payload": "2026-01-02"}),
    ],
)
def test_values_are_encoded_as_by_a_server(data: Any, fields: dict[str, Any]) -> None:
    found = encoded(Publication("r", data, id="1"))
    assert json.loads(found.document) == {"room": "r", "id": "1", **fields}


def test_options_are_sent_and_ids_are_made() -> None:
    one, two = (encoded(Publication("r", 1, "k", "latest")) for _ in range(2))
    assert one.id != two.id
    assert json.loads(one.document) == {"room": "r", "id": one.id, "key": "k", "delivery": "latest", "payload": 1}


@pytest.mark.parametrize(
    ("publication", "error"),
    [
        (Publication("", 1), ValueError),
        (Publication("r", object()), TypeError),
        (Publication("r", float("inf")), ValueError),
        (Publication("r", 1, delivery="no"), ValueError),
        (Publication("r", 1, id=""), ValueError),
        (Publication("r", 1, id="\u00fc" * 101), ValueError),
        (Publication("r", 1, id=5), TypeError),  # type: ignore[arg-type]  # what is tested
    ],
)
def test_invalid_messages_are_refused(publication: Publication, error: type[Exception]) -> None:
    with pytest.raises(error):
        encoded(publication)


@pytest.mark.parametrize("wrong", ["text", 5, [("r",)], [("r", 1, *[None] * 6)], ["rx"], [["r", 1]]])
def test_what_is_no_list_of_messages_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="messages"):
        encoded_all(wrong)


def test_too_many_messages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.publisher.publication.MOST", 3)
    assert len(encoded_all(("r", number) for number in range(3))) == 3
    with pytest.raises(ValueError, match="at most 3 in one call"):
        encoded_all(("r", number) for number in range(4))


def test_batches_have_limits_of_messages_and_bytes() -> None:
    def sized(size: int) -> EncodedPublication:
        return EncodedPublication("r", "1", bytes(size))

    assert batches_of([]) == []
    assert [len(batch) for batch in batches_of([sized(1)] * (2 * BATCH_MESSAGES + 1))] == [500, 500, 1]
    half = BATCH_BYTES // 2
    assert [len(batch) for batch in batches_of([sized(half), sized(half - 10), sized(half)])] == [2, 1]
    assert [len(batch) for batch in batches_of([sized(1), sized(2 * BATCH_BYTES), sized(1)])] == [1, 1, 1]


def test_a_position_needs_an_epoch() -> None:
    assert Published("r", 5, "1").position is None
    assert Published("r", 5, "1", "abc").position == fanwire.Position("abc", 5)


def test_a_failure_can_be_pickled() -> None:
    failed = PublishFailed([Published("r", 1, "1"), fanwire.Closed("the end")])
    again = pickle.loads(pickle.dumps(failed))
    assert str(again) == str(failed) == "1 of 2 messages failed; the first: the end"
    assert [type(one) for one in again.results] == [Published, fanwire.Closed]
