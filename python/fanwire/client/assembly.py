"""Messages from frames: fragments, UTF-8 and sizes (RFC 6455 sections 5.4, 5.6 and 8.1). Pure.

The parser below has checked opcodes, masks, lengths and control frames; what concerns more than one frame is
checked here.
"""

from __future__ import annotations

from codecs import IncrementalDecoder, getincrementaldecoder

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


class MessageAssembly:
    """The message of one connection that is being received.

    Args:
        max_message: bytes of a message, all fragments together.
        max_fragments: how many those may be. Empty ones add no bytes.
    """

    __slots__ = ("_buffer", "_count", "_decoder", "_max_fragments", "_max_message")

    def __init__(self, max_message: int, max_fragments: int = MAX_FRAGMENTS) -> None:
        self._max_message = max_message
        self._max_fragments = max_fragments
        self._count = 0
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

    def add(self, opcode: int, fin: bool, payload: bytes) -> bytes | str | None:
        """Takes a data frame; returns the message that it ends, if it does.

        Raises:
            Violation: 1002 for a fragment out of order, 1007 for invalid UTF-8, 1009 for too large a message.
        """
        if opcode == CONTINUATION:
            if self._buffer is None:
                raise Violation(CloseCode.PROTOCOL_ERROR, "continuation of no message")
        elif self._buffer is not None:
            raise Violation(CloseCode.PROTOCOL_ERROR, "new message within a fragmented one")
        elif fin:
            self._check_size(len(payload))
            return _decode(payload) if opcode == TEXT else payload
        else:
            self._buffer = bytearray()
            self._decoder = _utf8() if opcode == TEXT else None
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
        is_text = self._decoder is not None
        self._buffer = self._decoder = None
        self._count = 0
        return buffer.decode() if is_text else bytes(buffer)

    def _check_size(self, size: int) -> None:
        if size > self._max_message:
            raise Violation(CloseCode.TOO_BIG, f"a message has at most {self._max_message} bytes")


def _decode(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise Violation(CloseCode.INVALID_DATA, "text is not UTF-8") from error


_utf8 = getincrementaldecoder("utf-8")
