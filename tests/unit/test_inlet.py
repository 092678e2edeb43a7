"""Where other nodes' messages enter the engine: what Python packs, Rust unpacks."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.engines import Session, started
from helpers.parcels import full, parcels
from hypothesis import given

from fanwire._engine import Inlet
from fanwire.cluster.parcel import DELIVERIES, Parcel, pack


def taken(*data: bytes, since_ms: int = 0) -> tuple[list[tuple[int, str | None]], list[dict[str, Any]]]:
    """What an inlet says to some parcels, and what a member of its room gets."""
    engine = started(max_rooms=10)
    session = Session(engine)
    engine.join(session.conn, "r")
    inlet = Inlet(engine, "r", since_ms)
    said = [inlet.take(each) for each in data]
    got = session.envelopes()
    assert engine.shutdown(10)
    return said, got


def message(number: int, payload: bytes | str = "x", **others: Any) -> bytes:
    return pack(Parcel(payload, origin=7, number=number, **others))


def test_messages_as_they_were_published() -> None:
    said, got = taken(message(1, "ä"), message(2, b'{"a":1}', json=True), message(3, b"x", delivery="drop-oldest"))
    assert said == [(0, None)] * 3
    assert [(each["seq"], each["payload"]) for each in got] == [(1, "ä"), (2, {"a": 1}), (3, "eA==")]


def test_what_is_missing_is_told() -> None:
    said, got = taken(message(1), message(4), pack(Parcel(b"", origin=7, number=6, is_count=True)))
    assert said == [(0, None), (2, None), (2, None)]
    assert [(each["type"], each.get("seq")) for each in got if each["type"] == "message"] == [
        ("message", 1),
        ("message", 4),
    ]
    assert [each["payload"] for each in got if each["type"] == "skipped"] == [
        {"reason": "backplane", "count": 2, "first": 2, "last": 3},
        {"reason": "backplane", "count": 2, "first": 5, "last": 6},
    ]


@given(parcels())
def test_what_is_packed_here_is_unpacked_there(parcel: Parcel) -> None:
    engine = started()
    missing, fault = Inlet(engine, "r", 0).take(pack(parcel))
    assert engine.shutdown(10)
    if parcel.key is not None and parcel.delivery != "latest":
        assert (missing, fault and "a key needs" in fault) == (1, True)
    else:
        assert (missing, fault) == (0, None)


@pytest.mark.parametrize("length", range(len(full()) - 2))
def test_what_ends_too_soon_is_none(length: int) -> None:
    ((missing, fault),), got = taken(full()[:length])
    assert (missing, got) == (0, [])
    assert fault is not None
    assert "no parcel" in fault


@pytest.mark.parametrize(
    "changes",
    [
        {"version": b"\2"},
        {"kind": b"\4"},
        {"delivery": bytes([len(DELIVERIES)])},
        {"payload": b"\xff"},
        {"key": b"\xffey"},
    ],
)
def test_what_is_no_parcel(changes: dict[str, bytes]) -> None:
    ((missing, fault),), got = taken(full(**changes))
    assert (missing, got) == (0, [])
    assert fault is not None
    assert "no parcel of version 1" in fault
