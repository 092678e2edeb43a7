"""Messages from frames: fragments, compression, UTF-8 and sizes (RFC 6455 sections 5.4, 5.6 and 8.1; RFC 7692 section
6.2). Pure.

The parser below has checked opcodes, masks, lengths and control frames; what concerns more than one frame is
checked here.
"""

from __future__ import annotations

from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Callable

from fanwire.codes import CloseCode

__all__ = ["MessageAssembly", "Violation"]

CONTINUATION, TEXT, BINARY = 0x0, 0x1, 0x2

MAX_FRAGMENTS = 131_072
"""Fragments of one message. Empty ones add no bytes."""


class Violation(Exception):
    """The peer broke a rule and its connection must be failed with this code (RFC 6455 section 7.1.7)."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


Inflate = Callable[[bytes | bytearray, int], bytes]
"""Returns the message of a compressed payload that has at most so many bytes, or raises `Violation`."""


class MessageAssembly:
    """The message of one connection that is being received.

    Args:
        max_message: bytes of a message, all fragments together; of a compressed one both before and after inflating.
        max_fragments: how many those may be. Empty ones add no bytes.
        inflate: inflates compressed messages; None: they are not allowed.
    """

    __slots__ = (
        "_buffer",
        "_count",
        "_decoder",
        "_inflate",
        "_is_compressed",
        "_is_text",
        "_max_fragments",
        "_max_message",
    )

    def __init__(self, max_message: int, max_fragments: int = MAX_FRAGMENTS, *, inflate: Inflate | None = None) -> None:
        self._max_message = max_message
        self._max_fragments = max_fragments
        self._inflate = inflate
        self._count = 0
        self._is_text = False
        self._is_compressed = False
        # Both exist only while a fragmented message is under way. The buffer grows in one piece, so that
        # tiny fragments cost no more than their bytes.
        self._buffer: bytearray | None = None
        self._decoder: IncrementalDecoder | None = None

    @property
    def is_open(self) -> bool:
        """Whether a fragmented message is under way."""
        return self._buffer is not None

    @property
    def size(self) -> int:
        """Bytes of it so far."""
        return 0 if self._buffer is None else len(self._buffer)

    def add(self, opcode: int, fin: bool, payload: bytes, rsv1: bool = False) -> bytes | str | None:
        """Takes a data frame; returns the message that it ends, if it does.

        Args:
            opcode: 0, 1 or 2.
            fin: whether the frame ends its message.
            payload: of the frame.
            rsv1: whether the frame begins a compressed message.

        Raises:
            Violation: 1002 for a fragment out of order, or a compressed one that is not allowed; 1007 for invalid UTF-8
                or compressed data; 1009 for too large a message.
        """
        if rsv1 and (self._inflate is None or opcode == CONTINUATION):
            raise Violation(CloseCode.PROTOCOL_ERROR, "the reserved bit RSV1 is set")
        if opcode == CONTINUATION:
            if self._buffer is None:
                raise Violation(CloseCode.PROTOCOL_ERROR, "continuation of no message")
        elif self._buffer is not None:
            raise Violation(CloseCode.PROTOCOL_ERROR, "new message within a fragmented one")
        elif fin:
            self._check_size(len(payload))
            if rsv1 and self._inflate is not None:
                payload = self._inflate(payload, self._max_message)
            return _decode(payload) if opcode == TEXT else payload
        else:
            self._buffer = bytearray()
            self._is_text = opcode == TEXT
            self._is_compressed = rsv1
            self._decoder = _utf8() if self._is_text and not rsv1 else None
        return self._continue(self._buffer, fin, payload)

    def _continue(self, buffer: bytearray, fin: bool, payload: bytes) -> bytes | str | None:
        self._check_size(len(buffer) + len(payload))
        self._count += 1
        if self._count > self._max_fragments:
            reason = f"a message has at most {self._max_fragments} fragments"
            raise Violation(CloseCode.TOO_BIG, reason)
        buffer += payload
        if self._decoder is not None:
            # Only to fail as soon as a byte is wrong, not after a megabyte more.
            try:
                self._decoder.decode(payload, fin)
            except UnicodeDecodeError as error:
                raise Violation(CloseCode.INVALID_DATA, "text is not UTF-8") from error
        if not fin:
            return None
        self._buffer = self._decoder = None
        self._count = 0
        if self._is_compressed and self._inflate is not None:
            message = self._inflate(buffer, self._max_message)
            return _decode(message) if self._is_text else message
        return buffer.decode() if self._is_text else bytes(buffer)

    def _check_size(self, size: int) -> None:
        if size > self._max_message:
            raise Violation(CloseCode.TOO_BIG, f"a message has at most {self._max_message} bytes")


def _decode(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise Violation(CloseCode.INVALID_DATA, "text is not UTF-8") from error


_utf8 = getincrementaldecoder("utf-8")
