"""What a node tells all others. Pure."""

from __future__ import annotations

import msgspec

__all__ = ["Beat", "Counts", "Moved", "Values", "Word", "pack_word", "unpack_word"]


class Beat(msgspec.Struct, tag="beat", array_like=True):
    """A node lives, and hears what it says."""

    node: int


class Counts(msgspec.Struct, tag="counts", array_like=True):
    """A node was away, and asks how many messages the others have sent to these rooms."""

    node: int
    rooms: list[str]


class Moved(msgspec.Struct, tag="moved", array_like=True):
    """A session's client is at this node now: whoever has the session lets it go."""

    node: int
    session: str


class Values(msgspec.Struct, tag="values", array_like=True):
    """A node begins to hear rooms of latest values, and asks which the others have."""

    node: int
    rooms: list[str]


Word = Beat | Counts | Moved | Values
"""Each of them."""


def pack_word(word: Word) -> bytes:
    """The bytes of a word."""
    return _encode(word)


def unpack_word(data: bytes) -> Word:
    """The word of some bytes.

    Raises:
        ValueError: they are none, or one of a newer version.
    """
    try:
        word: Word = _decode(data)
    except msgspec.DecodeError as error:
        raise ValueError(f"no word of a node: {error}") from error
    return word


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Word).decode
