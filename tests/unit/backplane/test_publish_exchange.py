"""The messages between publishers and nodes."""

from __future__ import annotations

import pytest

from fanwire.backplane.publish_exchange import PUBLISH, PublishExchange, pack_exchange, unpack_exchange


def test_a_message_comes_back() -> None:
    exchange = PublishExchange(PUBLISH, "abc", 7, 207, b"[1]")
    assert unpack_exchange(pack_exchange(exchange)) == exchange


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x90", pack_exchange(PublishExchange(0, "", 1)), pack_exchange(PublishExchange(0, "x" * 65, 1))],
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a message of a publisher"):
        unpack_exchange(data)
