"""Compressed messages of a WebSocket: the extension permessage-deflate (RFC 7692). Pure."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from fanwire.client.assembly import Violation
from fanwire.codes import CloseCode

__all__ = ["MIN_BYTES", "Deflate", "DeflateTerms"]

MIN_BYTES = 256
"""A message of this size or a smaller one is sent as it is: it would hardly become smaller."""

MAX_STREAMS = 16
"""DEFLATE streams in one message. A block with the bit BFINAL ends a stream (RFC 7692 section 7.2.3.4). A sender
that does so ends one for each message; each costs a new inflater and a copy of the rest, even if it is empty."""

TAIL = b"\x00\x00\xff\xff"
"""The end of a flushed block, which the sender leaves out (RFC 7692 section 7.2.1)."""

END = TAIL + b"\x01\x00\x00\xff\xff"
"""That end, and an empty last block. Data that is not complete does not end with it."""

MAX_WINDOW_BITS = 15
MIN_DEFLATE_BITS = 9
"""The smallest window that zlib can compress with."""


class DeflateTerms(NamedTuple):
    """What the server has agreed to.

    Attributes:
        server_bits: the window of the server's messages has 2 to the power of this many bytes, 8 to 15.
        client_bits: the same for the client's messages.
        keeps_context: whether the server's messages may refer to earlier ones.
    """

    server_bits: int = MAX_WINDOW_BITS
    client_bits: int = MAX_WINDOW_BITS
    keeps_context: bool = False


class Deflate:
    """Inflates the messages of one connection, and compresses messages to its server.

    What the client sends never refers to earlier messages, so that nothing is kept for it.

    Args:
        terms: what the server has agreed to.
    """

    __slots__ = ("_inflater", "_terms")

    def __init__(self, terms: DeflateTerms) -> None:
        self._terms = terms
        # Only where messages may refer to earlier ones: it keeps the window.
        self._inflater = self._new_inflater() if terms.keeps_context else None

    def inflate(self, payload: bytes | bytearray, max_message: int) -> bytes:
        """Returns the message of a compressed payload.

        Memory is bounded by the limit: inflating ends as soon as the message is larger.

        Args:
            payload: of all fragments.
            max_message: bytes of the message.

        Raises:
            Violation: 1007 for data that is not DEFLATE, or not all of it; 1009 for too large a message.
        """
        inflater = self._inflater or self._new_inflater()
        parts: list[bytes] = []
        data: bytes | bytearray = payload
        for _ in range(MAX_STREAMS):
            _inflate(inflater, data, parts, max_message)
            if not inflater.eof:
                is_kept = self._inflater is not None
                _inflate(inflater, TAIL if is_kept else END, parts, max_message)
                if not is_kept and (not inflater.eof or inflater.unused_data):
                    break
                return parts[0] if len(parts) == 1 else b"".join(parts)
            data = inflater.unused_data
            inflater = self._new_inflater()
            if self._inflater is not None:
                self._inflater = inflater
            if not data:
                return b"".join(parts)
        raise Violation(CloseCode.INVALID_DATA, NOT_DEFLATE)

    def deflate(self, message: bytes) -> bytes | None:
        """Returns the compressed payload of a message; None: it would not become smaller."""
        bits = self._terms.client_bits
        if len(message) <= MIN_BYTES or bits < MIN_DEFLATE_BITS:
            return None
        compressor = zlib.compressobj(wbits=-bits)
        payload = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
        size = len(payload) - len(TAIL)
        return payload[:size] if size < len(message) else None

    def _new_inflater(self) -> zlib._Decompress:
        return zlib.decompressobj(wbits=-self._terms.server_bits)


def _inflate(inflater: zlib._Decompress, data: bytes | bytearray, parts: list[bytes], max_message: int) -> None:
    """Inflates data to the end of the parts of a message."""
    # 0 would mean that there is no limit.
    left = max_message - sum(map(len, parts)) + 1
    try:
        part = inflater.decompress(data, left)
    except zlib.error as error:
        raise Violation(CloseCode.INVALID_DATA, NOT_DEFLATE) from error
    if len(part) == left:
        raise Violation(CloseCode.TOO_BIG, f"a message has at most {max_message} bytes")
    if part:
        parts.append(part)


NOT_DEFLATE = "a compressed message cannot be inflated"
