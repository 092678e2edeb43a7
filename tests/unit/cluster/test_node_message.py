"""Node messages: what is packed is unpacked, and whatever else comes is a ValueError."""

from __future__ import annotations

import pytest
from helpers.node_messages import HEAD, full, node_messages
from hypothesis import given
from hypothesis import strategies as st

from fanwire.cluster.node_message import VERSION, WITH_AUDIENCE, NodeMessage, pack, unpack


@given(node_messages())
def test_a_parcel_comes_back(node_message: NodeMessage) -> None:
    assert unpack(pack(node_message)) == node_message


def test_the_bytes_of_one() -> None:
    node_message = NodeMessage("ä", False, "key", "latest", 1, 2, 3)
    numbers = b"".join(number.to_bytes(8, "big") for number in (1, 2, 3))
    assert pack(node_message) == full(numbers=numbers)
    assert len(pack(NodeMessage(b""))) == HEAD


@pytest.mark.parametrize("payload", ['{"a":"ä"}', '{"a":"ä"}'.encode()])
def test_a_document_comes_as_bytes(payload: bytes | str) -> None:
    assert unpack(pack(NodeMessage(payload, json=True))) == NodeMessage('{"a":"ä"}'.encode(), json=True)


def test_no_key_is_not_an_empty_one() -> None:
    assert unpack(pack(NodeMessage(b"", key=""))).key == ""
    assert unpack(pack(NodeMessage(b"", key=None))).key is None


def test_a_count_is_no_message() -> None:
    node_message = NodeMessage(b"", ts_ms=1, origin=2, number=3, is_count=True)
    assert unpack(pack(node_message)) == node_message
    assert len(pack(node_message)) == HEAD


@pytest.mark.parametrize("length", range(HEAD + 3))
def test_what_ends_too_soon_is_none(length: int) -> None:
    with pytest.raises(ValueError, match="not a node message"):
        unpack(full()[:length])


@pytest.mark.parametrize("version", [number for number in range(256) if number not in (VERSION, WITH_AUDIENCE)])
def test_another_version_is_none(version: int) -> None:
    with pytest.raises(ValueError, match="not a node message of version 1"):
        unpack(full(version=bytes([version])))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": b"\x04"},
        {"kind": b"\x04", "payload": bytes(8), "has_key": b"\x00"},
        {"kind": b"\x05"},
        {"kind": b"\xff"},
        {"delivery": b"\x05"},
        {"delivery": b"\xff"},
        {"size": b"\xff\xff"},
        {"key": b"\xff\xfe\xfd"},
        {"key": b"\xed\xa0\x80"},
        {"payload": b"\xff"},
        {"payload": "ä".encode()[:1]},
        {"size": b"\0\x04"},
    ],
    ids=repr,
)
def test_what_cannot_be_is_none(changes: dict[str, bytes]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - also that of the codec
        unpack(full(**changes))


@given(st.binary(max_size=80) | st.binary(min_size=HEAD - 1, max_size=80).map(lambda data: bytes([VERSION]) + data))
def test_any_bytes_are_a_parcel_or_a_value_error(data: bytes) -> None:
    try:
        node_message = unpack(data)
    except ValueError:
        return
    assert isinstance(node_message, NodeMessage)


@given(node_messages(), st.data())
def test_a_changed_byte_is_a_parcel_or_a_value_error(node_message: NodeMessage, data: st.DataObject) -> None:
    changed = bytearray(pack(node_message))
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        unpack(bytes(changed))
    except ValueError:
        return
