"""What a message `received` says, and to whom that goes."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock, call

import msgspec
import pytest

from fanwire.protocol.envelopes import JSON, MSGPACK, Codec, Refusal
from fanwire.protocol.session import Session
from fanwire.runtime.reports import ROOMS_MAX, ReceivedReports

CODECS = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)
MOST = (1 << 63) - 1


class Dispatcher:
    """Reports of one client, and what became of them."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.engine = Mock()
        self.reports = ReceivedReports(self.engine)

    def take(self, payload: Any, **fields: Any) -> Any:
        message = {"type": "received", "payload": payload, **fields}
        frame = json.dumps(message) if self.codec.is_text else msgspec.msgpack.encode(message)
        self.reports.take(Mock(id=7), Session("o", self.codec), self.codec.decode(frame))
        (told,) = self.engine.mock_calls
        return told


@CODECS
def test_without_taken_it_is_a_count(codec: Codec) -> None:
    assert Dispatcher(codec).take({"count": 3, "more": [1]}) == call.report(7, 3, None)


@CODECS
def test_what_was_taken_goes_room_by_room(codec: Codec) -> None:
    taken = {"a.1": {"count": 5, "ts": 40}, "b": {"count": MOST}}
    assert Dispatcher(codec).take({"count": 9, "taken": taken}) == call.report(
        7, 9, [("a.1", 5, 40), ("b", MOST, None)]
    )
    assert Dispatcher(codec).take({"count": 3, "taken": {}}) == call.report(7, 3, [])


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
    dispatcher = Dispatcher(codec)
    with pytest.raises(Refusal) as caught:
        dispatcher.take(payload)
    assert (caught.value.code, caught.value.path) == ("invalid_payload", path)
    assert dispatcher.engine.mock_calls == []


@CODECS
def test_no_payload_and_one_of_bytes_are_refused(codec: Codec) -> None:
    dispatcher = Dispatcher(codec)
    with pytest.raises(Refusal, match="object"):
        dispatcher.take(None)
    with pytest.raises(Refusal, match="bytes"):
        dispatcher.take({"count": 1}, encoding="base64")
