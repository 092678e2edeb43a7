"""The messages by which nodes forward requests of links: in parts, since a backplane limits the size of a message."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import msgspec

__all__ = ["ASKED", "REPLIED", "TAKEN", "LinkPart", "LinkParts", "parts_of", "unpack_part"]

ASKED, TAKEN, REPLIED = 0, 1, 2
"""Kinds of messages: a request; the node of the link is there and has taken it; the reply."""


class LinkPart(msgspec.Struct, array_like=True, frozen=True):
    """A part of a message.

    Attributes:
        kind: of the message.
        sender: the tag of the node that sends it.
        id: the number that the asking node has given to the request.
        index: of this part, from 0.
        count: of all parts.
        data: the bytes of this part.
    """

    kind: int
    sender: str
    id: int
    index: int
    count: int
    data: bytes


def parts_of(kind: int, sender: str, id: int, data: bytes, max_bytes: int) -> Iterator[bytes]:
    """Encodes a message in parts of at most so many bytes each.

    Raises:
        ValueError: it would need more than `MOST_PARTS`.
    """
    size = max(1, max_bytes - HEAD)
    count = max(1, -(-len(data) // size))
    if count > MOST_PARTS:
        raise ValueError(f"a message of {len(data)} bytes is too large for the backplane")
    for index in range(count):
        part = LinkPart(kind, sender, id, index, count, data[index * size : (index + 1) * size])
        yield msgspec.msgpack.encode(part)


def unpack_part(data: bytes) -> LinkPart:
    """Decodes a part.

    Raises:
        ValueError: it is none.
    """
    part = _DECODER.decode(data)
    if not 0 <= part.index < part.count <= MOST_PARTS:
        raise ValueError(f"part {part.index} of {part.count}")
    return part


class LinkParts:
    """Joins the parts of messages. Parts of one message come in order, or one of them was lost.

    Args:
        most: messages that may be incomplete at once; beyond it the oldest is dropped.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._messages: OrderedDict[tuple[int, str, int], list[bytes]] = OrderedDict()

    def take(self, part: LinkPart) -> bytes | None:
        """Takes a part; returns the message if it was the last part."""
        if part.count == 1:
            return part.data
        name = (part.kind, part.sender, part.id)
        if part.index == 0:
            self._messages[name] = []
            if len(self._messages) > self._most:
                self._messages.popitem(last=False)
        parts = self._messages.get(name)
        if parts is None or len(parts) != part.index:
            self._messages.pop(name, None)
            return None
        parts.append(part.data)
        if len(parts) < part.count:
            return None
        return b"".join(self._messages.pop(name))


MOST_PARTS = 64
"""The most parts of a message."""

HEAD = 64
"""Bytes of a part besides its data, at most."""

_DECODER = msgspec.msgpack.Decoder(LinkPart)
