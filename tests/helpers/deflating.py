"""Compressed messages (RFC 7692) by zlib, and bombs."""

from __future__ import annotations

import zlib

PMD = "permessage-deflate"
TAIL = b"\x00\x00\xff\xff"
"""The end of each message, which is not sent."""
MIB = 1 << 20


def squeezed(message: bytes, compressor: zlib._Compress | None = None) -> bytes:
    """The payload of a message. With a compressor it may refer to the messages before it."""
    compressor = compressor or zlib.compressobj(wbits=-15)
    return (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def inflated(payload: bytes, bits: int = 15) -> bytes:
    """The message of a payload that refers to no other one."""
    return zlib.decompressobj(wbits=-bits).decompress(payload + TAIL)


def bomb(mebibytes: int) -> bytes:
    """The payload of so many mebibytes of zeros, about a kilobyte for each."""
    compressor = zlib.compressobj(9, wbits=-15)
    first = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    # A second one refers to zeros only, and so may follow any number of others.
    again = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return (first + again * (mebibytes - 1)).removesuffix(TAIL)
