"""What a message `received` says, and to whom that goes."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock, call

import msgspec
import pytest

from fanwire.ages import Ages
from fanwire.policy import Policies, RoomPolicy
from fanwire.reports import ROOMS_FOR_ONE, ROOMS_MAX, Reports
from fanwire.session import Session
from fanwire.wire import JSON, MSGPACK, Codec, Refusal

CODECS = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)
NOW = 1_700_000_000_000
MOST = (1 << 63) - 1


class Desk:
    """Reports of a client that is in the rooms a.1 and b, and what became of them."""

    def __init__(self, codec: Codec) -> None:
        policies = Policies()
        policies.add(RoomPolicy("a.*"))
        self.codec = codec
        self.engine = Mock(now_ms=NOW)
        self.ages = Ages()
        self.reports = Reports(self.engine, policies, self.ages)
        self.connection = Mock(id=7, rooms={"a.1", "b"})

    def take(self, payload: Any, **fields: Any) -> list[Any]:
        message = {"type": "received", "payload": payload, **fields}
        frame = json.dumps(message) if self.codec.is_text else msgspec.msgpack.encode(message)
        self.reports.take(self.connection, Session("o", self.codec), self.codec.decode(frame))
        calls, self.engine.mock_calls = self.engine.mock_calls, []
        return calls


@CODECS
def test_without_taken_it_is_a_count(codec: Codec) -> None:
    assert Desk(codec).take({"count": 3, "more": [1]}) == [call.received(7, 3)]


@CODECS
def test_what_was_taken_goes_room_by_room(codec: Codec) -> None:
    desk = Desk(codec)
    taken = {"a.1": {"count": 5, "ts": NOW - 40}, "b": {"count": 9}}
    assert desk.take({"count": 9, "taken": taken}) == [
        call.received(7, 9),
        call.taken(7, "a.1", 5),
        call.taken(7, "b", 9),
    ]
    # Only the first has said how old.
    assert {pattern: stats["sum"] for pattern, stats in desk.ages.stats().items()} == {"a.*": 0.04}


@CODECS
def test_who_says_that_nothing_was_taken_has_said_so(codec: Codec) -> None:
    assert Desk(codec).take({"count": 3, "taken": {}}) == [call.received(7, 3), call.taken(7, "", 0)]


@CODECS
def test_rooms_that_the_client_is_not_in_are_ignored(codec: Codec) -> None:
    desk = Desk(codec)
    other = {"count": 1, "ts": 0}
    assert desk.take({"count": 3, "taken": {"c": other}})[1:] == [call.taken(7, "", 0)]
    assert desk.take({"count": 3, "taken": {"c": other, "b": other}})[1:] == [call.taken(7, "b", 1)]
    assert desk.ages.stats().keys() == {"*"}


@CODECS
def test_one_that_names_many_rooms_counts_as_several(codec: Codec) -> None:
    desk = Desk(codec)
    sizes = (0, 1, ROOMS_FOR_ONE, ROOMS_FOR_ONE + 1, ROOMS_MAX)
    for rooms, more in zip(sizes, (0, 0, 0, 1, ROOMS_MAX // ROOMS_FOR_ONE - 1), strict=True):
        # Also of rooms that the client is not in: they have to be looked up, too.
        calls = desk.take({"count": 3, "taken": {f"r{number}": {"count": 1} for number in range(rooms)}})
        charged = [call.charge(7, more)] if more else []
        assert calls == [call.received(7, 3), *charged, call.taken(7, "", 0)]


@CODECS
def test_more_cannot_be_taken_than_has_come(codec: Codec) -> None:
    assert Desk(codec).take({"count": 3, "taken": {"b": {"count": MOST}}})[1:] == [call.taken(7, "b", 3)]


@CODECS
@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (None, "$"),
        ([], "$"),
        ({}, "$"),
        ({"count": "1"}, "$.count"),
        ({"count": -1}, "$.count"),
        ({"count": 1.0}, "$.count"),
        ({"count": True}, "$.count"),
        ({"count": 1, "taken": 1}, "$.taken"),
        ({"count": 1, "taken": [1]}, "$.taken"),
        ({"count": 1, "taken": {"b": 1}}, "$.taken[...]"),
        ({"count": 1, "taken": {"b": {}}}, "$.taken[...]"),
        ({"count": 1, "taken": {"b": {"count": None}}}, "$.taken[...].count"),
        ({"count": 1, "taken": {"b": {"count": 1 << 63}}}, "$.taken[...].count"),
        ({"count": 1, "taken": {"b": {"count": 1, "ts": -1}}}, "$.taken[...].ts"),
        ({"count": 1, "taken": {"b": {"count": 1, "ts": 0.5}}}, "$.taken[...].ts"),
        ({"count": 1, "taken": {"": {"count": 1}}}, "$.taken"),
        ({"count": 1, "taken": {"n" * 256: {"count": 1}}}, "$.taken"),
        ({"count": 1, "taken": {f"r{number}": {"count": 1} for number in range(ROOMS_MAX + 1)}}, "$.taken"),
    ],
)
def test_anything_else_is_refused_with_its_path(codec: Codec, payload: Any, path: str) -> None:
    desk = Desk(codec)
    with pytest.raises(Refusal) as caught:
        desk.take(payload)
    assert (caught.value.code, caught.value.path) == ("invalid_payload", path)
    assert desk.engine.mock_calls == []


@CODECS
def test_no_payload_and_one_of_bytes_are_refused(codec: Codec) -> None:
    desk = Desk(codec)
    with pytest.raises(Refusal, match="object"):
        desk.take(None)
    with pytest.raises(Refusal, match="bytes"):
        desk.take({"count": 1}, encoding="base64")
