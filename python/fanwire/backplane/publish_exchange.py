"""What a publisher and the nodes send each other over NATS. Pure.

A publisher first asks all nodes who is there (`ASK`), and then sends its batches to one of them (`PUBLISH`). The names
are those of `Backplane.send`: `w` for all nodes, `wTAG` for one node, `WID` for a publisher.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "ASK",
    "HERE",
    "NODES",
    "PUBLISH",
    "PUBLISHERS",
    "RESULTS",
    "PublishExchange",
    "pack_exchange",
    "unpack_exchange",
]


class PublishExchange(msgspec.Struct, array_like=True):
    """A message between a publisher and a node.

    Attributes:
        kind: `ASK`, `HERE`, `PUBLISH` or `RESULTS`.
        sender: the id of the publisher, or the tag of the node.
        number: of the request, for its answer.
        status: of an answer, as that of HTTP.
        body: a JSON list of messages, or the answer to it.
    """

    kind: int
    sender: str
    number: int
    status: int = 0
    body: bytes = b""


def pack_exchange(exchange: PublishExchange) -> bytes:
    """Encodes a message."""
    return _encode(exchange)


def unpack_exchange(data: bytes) -> PublishExchange:
    """Decodes a message.

    Raises:
        ValueError: the bytes are none.
    """
    try:
        exchange: PublishExchange = _decode(data)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a message of a publisher: {error}") from error
    if not exchange.sender or len(exchange.sender) > SENDER_MAX:
        raise ValueError("not a message of a publisher: the sender is empty or too long")
    return exchange


ASK, HERE, PUBLISH, RESULTS = range(4)

NODES = "w"
"""The first character of the backplane's names for nodes that publish; the tag of a node follows, or nothing."""

PUBLISHERS = "W"
"""The first character of the backplane's names for publishers; the id follows."""

SENDER_MAX = 64
"""The most characters of a sender."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PublishExchange).decode
