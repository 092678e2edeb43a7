"""What a client asks for with `join`."""

from __future__ import annotations

import msgspec
import pytest

from fanwire.protocol.envelopes import Refusal
from fanwire.rooms.join_request import JOIN, Join, Since, check_last
from fanwire.rooms.rules import RoomPolicy, Snapshot


def test_a_payload() -> None:
    found = msgspec.json.decode(b'{"since":{"epoch":"e","seq":3},"repair":"cheapest","unknown":1}', type=JOIN)
    assert found == Join(Since("e", 3), repair="cheapest")
    assert found is not None
    assert found.position == ("e", 3)
    assert Join(last=5).position is None


@pytest.mark.parametrize(
    "wrong", ['{"last":0}', '{"last":1000001}', '{"repair":"best"}', '{"rooms":{"a":1}}', '{"since":1}']
)
def test_a_wrong_payload(wrong: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(wrong, type=JOIN)


def test_rooms_with_last_messages() -> None:
    check_last(RoomPolicy("a", history=5), "a")
    for policy in (
        RoomPolicy("a"),
        RoomPolicy("a", history=5, delivery="latest"),
        RoomPolicy("a", history=5, snapshot=lambda room: Snapshot(1, 0)),
    ):
        with pytest.raises(Refusal) as refused:
            check_last(policy, "a")
        assert (refused.value.code, refused.value.path) == ("invalid_payload", "$.last")
