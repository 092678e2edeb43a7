"""Where other nodes' messages enter the engine: what Python packs, Rust unpacks."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.engines import Session, started
from helpers.node_messages import full, node_messages
from hypothesis import given

from fanwire._engine import Ingress
from fanwire.cluster.node_message import DELIVERIES, NodeMessage, pack


def taken(*data: bytes, since_ms: int = 0) -> tuple[list[tuple[int, str | None]], list[dict[str, Any]]]:
    """What an ingress says to some node messages, and what a member of its room gets."""
    engine = started(max_rooms=10)
    session = Session(engine)
    engine.join(session.conn, "r")
    ingress = Ingress(engine, "r", since_ms)
    said = [ingress.take(each) for each in data]
    got = session.envelopes()
    assert engine.shutdown(10)
    return said, got


def message(number: int, payload: bytes | str = "x", **others: Any) -> bytes:
    return pack(NodeMessage(payload, origin=7, number=number, **others))


def test_messages_as_they_were_published() -> None:
    said, got = taken(message(1, "ä"), message(2, b'{"a":1}', json=True), message(3, b"x", delivery="drop-oldest"))
    assert said == [(0, None)] * 3
    assert [(each["seq"], each["payload"]) for each in got] == [(1, "ä"), (2, {"a": 1}), (3, "eA==")]


def test_what_is_missing_is_told() -> None:
    said, got = taken(message(1), message(4), pack(NodeMessage(b"", origin=7, number=6, is_count=True)))
    assert said == [(0, None), (2, None), (2, None)]
    assert [(each["type"], each.get("seq")) for each in got if each["type"] == "message"] == [
        ("message", 1),
        ("message", 4),
    ]
    assert [each["payload"] for each in got if each["type"] == "skipped"] == [
        {"reason": "backplane", "count": 2, "first": 2, "last": 3},
        {"reason": "backplane", "count": 2, "first": 5, "last": 6},
    ]


def late(*data: bytes) -> tuple[int, list[int], list[str]]:
    """How many of some node messages were dropped, the payloads that a member gets, and the types of what it gets."""
    engine = started(max_rooms=10)
    session = Session(engine)
    engine.join(session.conn, "r")
    ingress = Ingress(engine, "r", 0)
    assert [ingress.take(each)[1] for each in data] == [None] * len(data)
    count = engine.stats()["late"]
    got = session.envelopes()
    assert engine.shutdown(10)
    return count, [each["payload"] for each in got if each["type"] == "message"], [each["type"] for each in got]


def numbered(*numbers: int, origin: int = 7) -> list[bytes]:
    return [pack(NodeMessage(str(number).encode(), True, origin=origin, number=number)) for number in numbers]


def test_what_comes_twice_or_late_is_dropped_and_no_loss_is_told_after_it() -> None:
    assert late(*numbered(1, 2, 2, 1, 3)) == (2, [1, 2, 3], ["message"] * 3)
    # What was told as lost does not come after that.
    count, payloads, types = late(*numbered(1, 3, 2, 4))
    assert (count, payloads) == (1, [1, 3, 4])
    assert types.count("skipped") == 1


def test_a_node_that_begins_anew_counts_as_another() -> None:
    assert late(*numbered(5, 6), *numbered(1, 2, origin=8))[:2] == (0, [5, 6, 1, 2])


def test_a_count_that_comes_late_moves_nothing() -> None:
    count = pack(NodeMessage(b"", origin=7, number=1, is_count=True))
    assert late(*numbered(1, 2), count, *numbered(3)) == (0, [1, 2, 3], ["message"] * 3)


def test_a_forgotten_key_is_told_in_the_order_of_its_values_and_once() -> None:
    engine = started(max_rooms=10)
    session = Session(engine)
    engine.join(session.conn, "values")
    ingress = Ingress(engine, "values", 0)
    value = pack(NodeMessage(b"1", True, "k", ts_ms=5, origin=7, number=1))
    forgetting = pack(NodeMessage(b"", key="k", ts_ms=5, origin=7, number=2, delivery="latest", forgotten_us=5_500))
    assert ingress.take(value) == (0, None)
    assert engine.has_value("values", "k")
    for _ in range(2):
        assert ingress.take(forgetting) == (0, None)
        assert not engine.has_value("values", "k")
    # A value from before does not come back.
    assert engine.take_values("values", 100, [pack(NodeMessage(b"1", True, "k", ts_ms=4))]) == 0
    assert engine.take_values("values", 100, [pack(NodeMessage(b"2", True, "k", ts_ms=6))]) == 1
    got = session.envelopes()
    assert engine.shutdown(10)
    assert got[-1]["payload"] == 2 or got[-2]["payload"] == 2
    assert [each["seq"] for each in got if each["type"] == "forgotten"] == [2]


@pytest.mark.parametrize(
    "document", [b"[" * 65 + b"]" * 65, b"{", b"[NaN]", b"[1e999]", b"9" * 30, b'{"a":1,"a":2}', b""]
)
def test_what_is_no_document_is_dropped_and_told_as_missing(document: bytes) -> None:
    said, got = taken(message(1), message(2, document, json=True), message(3))
    assert [missing for missing, _ in said] == [0, 1, 0]
    assert said[1][1] is not None
    assert "$" in said[1][1]
    assert [each["seq"] for each in got if each["type"] == "message"] == [1, 3]
    skipped = {"reason": "backplane", "count": 1, "first": 2, "last": 2}
    assert [each["payload"] for each in got if each["type"] == "skipped"] == [skipped]


@given(node_messages())
def test_what_is_packed_here_is_unpacked_there(node_message: NodeMessage) -> None:
    engine = started()
    missing, fault = Ingress(engine, "r", 0).take(pack(node_message))
    assert engine.shutdown(10)
    if node_message.key is not None and node_message.delivery != "latest" and node_message.forgotten_us is None:
        assert (missing, fault and "a key needs" in fault) == (1, True)
    else:
        assert (missing, fault) == (0, None)


@pytest.mark.parametrize("length", range(len(full()) - 2))
def test_what_ends_too_soon_is_none(length: int) -> None:
    ((missing, fault),), got = taken(full()[:length])
    assert (missing, got) == (0, [])
    assert fault is not None
    assert "no node message" in fault


@pytest.mark.parametrize(
    "changes",
    [
        {"version": b"\2"},
        {"kind": b"\4"},
        {"kind": b"\4", "payload": bytes(8), "has_key": b"\0"},
        {"kind": b"\5"},
        {"delivery": bytes([len(DELIVERIES)])},
        {"payload": b"\xff"},
        {"key": b"\xffey"},
    ],
)
def test_what_is_no_parcel(changes: dict[str, bytes]) -> None:
    ((missing, fault),), got = taken(full(**changes))
    assert (missing, got) == (0, [])
    assert fault is not None
    assert "no node message of version 1" in fault
