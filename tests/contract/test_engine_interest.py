"""What every engine does with interest: who gets a message by attributes and filters, and what a joiner gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from helpers.engines import RULE
from helpers.rig import Peer, Rig


def member(rig: Rig, room: str = "zone", **options: Any) -> Peer:
    peer = rig.peer()
    rig.engine.join(peer.conn, room, reply=True, **options)
    joined = peer.envelope()
    assert joined["payload"].get("filtered") is True
    return peer


def audience(where: Any = None, **tags: Any) -> bytes:
    return json.dumps({**({} if where is None else {"where": where}), **({"tags": tags} if tags else {})}).encode()


@pytest.fixture(autouse=True)
def rooms(rig: Rig) -> None:
    rig.engine.add_rule("zone*", delivery="reliable", interest=True, **RULE)
    rig.engine.add_rule("quotes", delivery="latest", interest=True, **{**RULE, "max_keys": 10})


def publish(rig: Rig, payload: str, where: Any = None, room: str = "zone", **tags: Any) -> None:
    rig.engine.publish(room, payload, audience=audience(where, **tags))


def payloads(peer: Peer, count: int) -> list[Any]:
    return [envelope["payload"] for envelope in peer.envelopes(count)]


def test_a_condition_decides_by_attributes(rig: Rig) -> None:
    red, blue, none = member(rig), member(rig), member(rig)
    rig.engine.change_attributes(red.conn, "zone", {"team": "red", "cell": [1, 2]})
    rig.engine.change_attributes(blue.conn, "zone", {"team": "blue", "cell": 2})
    publish(rig, "red", {"team": "red"})
    publish(rig, "not red", {"not": {"team": "red"}})
    publish(rig, "cell", {"cell": {"in": [2, 3]}})
    publish(rig, "range", {"cell": {"range": [None, 1]}})
    rig.engine.change_attributes(red.conn, "zone", {"cell": None})
    publish(rig, "cell again", {"cell": {"in": [1, 2]}})
    publish(rig, "all")
    assert payloads(red, 4) == ["red", "cell", "range", "all"]
    assert payloads(blue, 4) == ["not red", "cell", "cell again", "all"]
    assert payloads(none, 1) == ["all"]


def test_attributes_have_the_values_that_python_has_for_them(rig: Rig) -> None:
    peer = member(rig)
    change = {"text": "x", "flag": True, "whole": 2**53, "part": 1.5, "tuple": (1, "y"), "set": {2}, "frozen": {3.0}}
    rig.engine.change_attributes(peer.conn, "zone", change)
    wanted = [("text", "x"), ("flag", True), ("whole", 2.0**53), ("part", 1.5), ("tuple", "y"), ("set", 2)]
    for name, value in [*wanted, ("frozen", 3)]:
        publish(rig, name, {name: value})
    for name, value in (("flag", 1), ("whole", "1"), ("text", True), ("tuple", True)):
        publish(rig, "of another type", {name: value})
    publish(rig, "end")
    assert payloads(peer, 8) == [*change, "end"]


def test_attributes_may_come_before_the_join(rig: Rig) -> None:
    publish(rig, "old", {"cell": 1})
    peer = rig.peer()
    rig.engine.change_attributes(peer.conn, "zone", {"cell": 1})
    epoch, _ = rig.engine.position("zone")
    rig.engine.join(peer.conn, "zone", (epoch, 0))
    publish(rig, "new", {"cell": 1})
    assert payloads(peer, 2) == ["old", "new"]
    rig.engine.leave(peer.conn, "zone")
    rig.engine.join(peer.conn, "zone")
    publish(rig, "of nobody", {"cell": 1})
    publish(rig, "all")
    assert payloads(peer, 1) == ["all"]


def test_a_filter_decides_by_tags_and_can_be_changed(rig: Rig) -> None:
    euro = member(rig, filter=b'{"symbol":"EURUSD"}')
    cheap = member(rig, filter=b'{"not":{"price":{"range":[2,null]}}}')
    publish(rig, "a", symbol="EURUSD", price=1)
    publish(rig, "b", symbol="USDJPY", price=3)
    rig.engine.publish("zone", "untagged")
    rig.engine.set_filter(euro.conn, "zone", b'{"price":3}')
    publish(rig, "c", symbol="USDJPY", price=3.0)
    rig.engine.set_filter(euro.conn, "zone", b"")
    rig.engine.publish("zone", "end")
    assert payloads(euro, 3) == ["a", "c", "end"]
    assert payloads(cheap, 3) == ["a", "untagged", "end"]


def test_a_join_without_a_filter_leaves_it_and_an_empty_one_takes_it_away(rig: Rig) -> None:
    peer = member(rig, filter=b'{"a":1}')
    rig.engine.join(peer.conn, "zone", again=True)
    publish(rig, "no", a=2)
    publish(rig, "yes", a=1)
    rig.engine.join(peer.conn, "zone", again=True, filter=b"")
    publish(rig, "now", a=2)
    assert payloads(peer, 2) == ["yes", "now"]


def test_newest_values_are_filtered_for_a_joiner(rig: Rig) -> None:
    for key in ("a", "b"):
        rig.engine.publish("quotes", key, key=key, audience=audience(symbol=key))
    peer = member(rig, "quotes", filter=b'{"symbol":"b"}')
    assert payloads(peer, 1) == ["b"]


def test_the_servers_own_program_gets_everything(rig: Rig) -> None:
    peer = rig.peer()
    rig.engine.join(peer.conn, "zone", everything=True)
    other = member(rig, filter=b'{"a":1}')
    publish(rig, "of nobody", {"cell": 99})
    publish(rig, "tagged", a=1)
    assert payloads(peer, 2) == ["of nobody", "tagged"]
    assert payloads(other, 1) == ["tagged"]


def test_an_audience_goes_to_other_nodes(rig: Rig) -> None:
    wanted = audience({"cell": 1}, symbol="x")
    rig.engine.publish("quotes", "v", key="k", audience=wanted)
    values = rig.engine.values("quotes")
    assert wanted in values[0]
    rig.engine.add_rule("copy", delivery="latest", interest=True, **RULE)
    assert rig.engine.take_values("copy", 0, values) == 1
    assert rig.engine.values("copy") == values


@pytest.mark.parametrize(
    "ask",
    [
        lambda rig, conn: rig.engine.publish("r", "x", audience=audience(a=1)),
        lambda rig, conn: rig.engine.change_attributes(conn, "r", {"a": 1}),
        lambda rig, conn: rig.engine.join(conn, "r", filter=b'{"a":1}'),
        lambda rig, conn: rig.engine.set_filter(conn, "r", b'{"a":1}'),
    ],
)
def test_a_room_without_interest_refuses_it(rig: Rig, ask: Callable[[Rig, int], object]) -> None:
    peer = rig.peer()
    with pytest.raises(ValueError, match="needs a room with interest"):
        ask(rig, peer.conn)


@pytest.mark.parametrize(
    "ask",
    [
        lambda rig, conn: rig.engine.publish("zone", "x", audience=b'{"tags":{"a":{}}}'),
        lambda rig, conn: rig.engine.change_attributes(conn, "zone", {"a": {}}),
        lambda rig, conn: rig.engine.join(conn, "zone", filter=b'{"a":{}}'),
        lambda rig, conn: rig.engine.set_filter(conn, "zone", b'{"a":{}}'),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(rig: Rig, ask: Callable[[Rig, int], object]) -> None:
    peer = rig.peer()
    with pytest.raises(ValueError, match=r"\$\.(tags\.)?a must"):
        ask(rig, peer.conn)
    assert rig.engine.position("zone")[1] == 0


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"a": 2**53 + 1}, ValueError, r"\$\.a must be a whole number"),
        ({"a": [1, -(2**63)]}, ValueError, r"\$\.a\[1\] must be a whole number"),
        ({"a": [1, [2]]}, ValueError, r"\$\.a\[1\] must be a text, a number, true or false"),
        ({"a": [1, None]}, ValueError, r"\$\.a\[1\] must be a text, a number, true or false"),
        ({"a": "x" * 256}, ValueError, r"\$\.a must have at most 255 bytes"),
        ({"a": range(1025)}, TypeError, "attributes must consist of texts, numbers, bools and lists"),
        ({"a": list(range(1025))}, ValueError, r"\$\.a\[1024\] is one more than the 1024 values"),
        ({"a": list(range(1000)), "b": list(range(1000))}, ValueError, r"\$\.b\[24\] is one more than the 1024 values"),
        ({f"a{n}": 1 for n in range(33)}, ValueError, r"\$ must have at most 32 names, got 34"),
        ({"a" * 65: 1}, ValueError, "is a name of 65 bytes"),
        ({"and": 1}, ValueError, r"\$\.and is a word of expressions"),
        ({"a": b"x"}, TypeError, "attributes must consist of texts, numbers, bools and lists"),
        ({"a": ["\ud800"]}, TypeError, "attributes must consist of texts, numbers, bools and lists"),
        ({"a": float("nan")}, TypeError, "numbers must be finite"),
        ({"a": {1.5, float("inf")}}, TypeError, "numbers must be finite"),
    ],
)
def test_what_is_no_attribute_changes_nothing(
    rig: Rig, change: dict[str, Any], error: type[Exception], text: str
) -> None:
    peer = member(rig)
    with pytest.raises(error, match=text):
        rig.engine.change_attributes(peer.conn, "zone", {**change, "good": 1})
    publish(rig, "good", {"good": 1})
    publish(rig, "end")
    assert payloads(peer, 1) == ["end"]
