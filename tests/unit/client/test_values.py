"""Deltas: the application sees whole values, and none that the server did not publish."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.by_hand import Driver, only, sent, seqs
from hypothesis import given
from hypothesis import strategies as st

from fanwire.client import actions as do
from fanwire.client.codec import Envelope
from fanwire.client.values import DeltaOutcome, RoomValues, copied, merge

QUOTE = {"bid": 1.5, "ask": 2, "venue": {"name": "X", "open": True}, "levels": [1, {"a": None}]}

EXAMPLES: list[tuple[Any, Any, Any]] = [
    # RFC 7396, appendix A, of those with a map on both sides.
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    # Further ones.
    ({"a": 1}, {}, {"a": 1}),
    ({"a": 7}, {"a": {"x": 1}}, {"a": {"x": 1}}),
    ({"a": {"x": 1}}, {"a": 7}, {"a": 7}),
    ({"a": {"x": {"y": 1, "z": 2}}}, {"a": {"x": {"y": None}}}, {"a": {"x": {"z": 2}}}),
    ({"__proto__": {"x": 1}}, {"__proto__": {"y": 2}, "constructor": 3},
     {"__proto__": {"x": 1, "y": 2}, "constructor": 3}),
    ({"": 1, "\u00e9\n": 2}, {"": None, "\u00e9\n": 3}, {"\u00e9\n": 3}),
    ({"n": 9007199254740991}, {"m": -0.5, "l": [{"a": None}, None]},
     {"n": 9007199254740991, "m": -0.5, "l": [{"a": None}, None]}),
]  # fmt: skip


def up(encoding: str = "json", **more: Any) -> Driver:
    driver = Driver(encoding).up(**more)
    driver.joined(delivery="latest", delta=True)
    return driver


def data(actions: list[do.Action]) -> list[Any]:
    return [action.message.data for action in only(actions, do.Deliver)]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_patches_make_the_values_that_they_must(encoding: str) -> None:
    driver = up(encoding)
    seq = 0
    for base, patch, value in EXAMPLES:
        if encoding == "msgpack" and "__proto__" in base:
            # The library of the TypeScript client refuses this name.
            continue
        seq += 2
        assert data(driver.message(seq - 1, key="k", payload=base)) == [base]
        assert data(driver.message(seq, key="k", base=seq - 1, payload=patch)) == [value]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_each_key_has_a_value_of_its_own(encoding: str) -> None:
    driver = up(encoding)
    driver.message(1, key="a", payload=QUOTE)
    driver.message(2, key="b", payload={"bid": 7})
    driver.message(3, payload={"none": 0})
    assert data(driver.message(4, key="a", base=1, payload={"bid": 3})) == [{**QUOTE, "bid": 3}]
    assert data(driver.message(5, key="b", base=2, payload={"bid": 8})) == [{"bid": 8}]
    assert data(driver.message(6, base=3, payload={"some": 1})) == [{"none": 0, "some": 1}]
    assert data(driver.message(7, key="a", base=4, payload={})) == [{**QUOTE, "bid": 3}]


def test_a_batch_has_deltas_to_its_own_values() -> None:
    driver = up()
    message = {"type": "message", "ts": 1, "room": "r", "key": "a"}
    actions = driver.raw([
        {**message, "id": "m1", "seq": 1, "payload": QUOTE},
        {**message, "id": "m2", "seq": 2, "base": 1, "payload": {"bid": 2}},
        {**message, "id": "m3", "seq": 3, "base": 2, "payload": {"ask": 3}},
    ])  # fmt: skip
    assert data(actions) == [QUOTE, {**QUOTE, "bid": 2}, {**QUOTE, "bid": 2, "ask": 3}]


@pytest.mark.parametrize("base", [1, 3, 9])
def test_a_delta_to_a_value_that_is_not_there_is_asked_for_and_not_delivered(base: int) -> None:
    driver = up()
    driver.message(1, key="a", payload=QUOTE)
    driver.message(2, key="a", base=1, payload={"bid": 2})
    actions = driver.message(4, key="a", base=base, payload={"bid": 3})
    assert seqs(actions) == []
    (join,) = sent(actions)
    assert (join["type"], join["room"], join.get("payload")) == ("join", "r", None)
    # Once, however many come meanwhile.
    assert driver.message(5, key="a", base=4, payload={"bid": 4}) == []
    driver.answer_join(join["id"], "r", 5, delivery="latest", delta=True)
    assert data(driver.message(5, key="a", payload={**QUOTE, "bid": 4})) == [{**QUOTE, "bid": 4}]
    assert data(driver.message(6, key="a", base=5, payload={"bid": 5})) == [{**QUOTE, "bid": 5}]


def test_a_failed_join_is_tried_again_with_the_next_delta() -> None:
    driver = up()
    (join,) = sent(driver.message(1, key="a", base=7, payload={}))
    actions = driver.hear("error", re=join["id"], payload={"code": "forbidden"})
    assert only(actions, do.Left) == []
    (again,) = sent(driver.message(2, key="a", base=1, payload={}))
    assert again["type"] == "join"


def test_a_forgotten_key_has_no_value() -> None:
    driver = up()
    driver.message(1, key="a", payload=QUOTE)
    driver.hear("forgotten", room="r", seq=2, key="a")
    assert seqs(driver.message(3, key="a", base=1, payload={})) == []


def test_values_live_as_long_as_the_session() -> None:
    driver = up()
    driver.message(1, key="a", payload=QUOTE)
    received = driver.machine.session.received
    driver.lose()
    driver.wait(60)
    driver.open()
    driver.welcome(resumed=True, received=1)
    assert data(driver.message(2, key="a", base=1, payload={"bid": 2})) == [{**QUOTE, "bid": 2}]
    assert driver.machine.session.received == received + 1
    driver.lose()
    driver.wait(60)
    driver.open()
    (join,) = [frame for frame in sent(driver.welcome(session="T")) if frame["type"] == "join"]
    driver.answer_join(join["id"], "r", 2, delivery="latest", delta=True)
    assert seqs(driver.message(3, key="a", base=2, payload={})) == []


def test_a_value_that_cannot_be_read_makes_its_deltas_unreadable_until_the_next_whole_one() -> None:
    driver = up()
    wrong = '{"type":"message","id":"w","room":"r","key":"a","seq":%d%s,"encoding":"unreadable","payload":null}'
    driver.frame(wrong % (1, ""))
    assert [gap.gap.reason for gap in only(driver.message(2, key="a", base=1, payload={}), do.GapFound)] == [
        "unreadable"
    ]
    assert data(driver.message(3, key="a", payload={"n": 1})) == [{"n": 1}]
    driver.frame(wrong % (4, ',"base":3'))
    assert seqs(driver.message(5, key="a", base=4, payload={})) == []
    assert data(driver.message(6, key="a", payload={"n": 2})) == [{"n": 2}]


def test_a_room_without_deltas_keeps_no_values() -> None:
    driver = Driver().up()
    driver.joined(delivery="latest")
    driver.message(1, key="a", payload=QUOTE)
    room = driver.machine.rooms._registry.get("r")
    assert room is not None
    assert room._values is None


def test_what_the_application_does_to_a_value_changes_no_other() -> None:
    driver = up()
    (first,) = data(driver.message(1, key="a", payload=copied(QUOTE)))
    (second,) = data(driver.message(2, key="a", base=1, payload={"venue": {"name": "Y"}, "more": [[1]]}))
    assert first == QUOTE
    first["levels"].append(3)
    first["venue"].clear()
    second["levels"].clear()
    second["more"][0].append(2)
    (third,) = data(driver.message(3, key="a", base=2, payload={"bid": 2}))
    assert third == {**QUOTE, "bid": 2, "venue": {"name": "Y", "open": True}, "more": [[1]]}


def test_a_value_that_is_no_map_is_delivered_and_not_kept() -> None:
    driver = up()
    assert data(driver.message(1, key="a", payload=[1])) == [[1]]
    assert seqs(driver.message(2, key="a", base=1, payload={})) == []


def test_a_value_that_is_too_deep_to_be_copied_is_whole_and_its_deltas_are_unreadable() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    values = RoomValues()
    assert values.take(Envelope("message", key="k", payload=deep), 1) is DeltaOutcome.WHOLE
    assert values.take(Envelope("message", key="k", base=1, payload={"b": 1}), 2) is DeltaOutcome.UNREADABLE
    assert len(values) == 1


LEAF = st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=1)
DOCUMENT = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("abc", max_size=1), inner, max_size=3)
)


@given(DOCUMENT, DOCUMENT)
def test_a_patch_is_applied_as_the_standard_says(value: Any, patch: Any) -> None:
    def naive(target: Any, patch: Any) -> Any:
        if not isinstance(patch, dict):
            return patch
        result = dict(target) if isinstance(target, dict) else {}
        for name, new in patch.items():
            if new is None:
                result.pop(name, None)
            else:
                result[name] = naive(result.get(name), new)
        return result

    before = copied(value)
    assert merge(copied(value), copied(patch)) == naive(value, patch)
    assert value == before
