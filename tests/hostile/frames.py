"""What a client can do wrong with frames (RFC 6455 sections 5 to 7), and the close code that it gets."""

from __future__ import annotations

import struct
from typing import NamedTuple

from helpers.wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_frame, frame

MAX_MESSAGE = 10_000
MAX_FRAGMENTS = 50


class Frames(NamedTuple):
    """A row: bytes after the 101, and how the connection is failed."""

    name: str
    data: bytes
    code: int
    limit: str | None = None

    def __repr__(self) -> str:
        return self.name


def raw_close(payload: bytes) -> bytes:
    return frame(CLOSE, payload)


def bad_code(code: int) -> bytes:
    return raw_close(struct.pack("!H", code))


def fragments(opcode: int, *parts: bytes, fin: bool = True) -> bytes:
    """A message in parts."""
    frames = [frame(opcode if n == 0 else CONT, part, fin=False) for n, part in enumerate(parts[:-1])]
    return b"".join(frames) + frame(CONT if len(parts) > 1 else opcode, parts[-1], fin=fin)


EURO = "\u20ac".encode()

MASKS = [
    Frames("text without a mask", frame(TEXT, b"x", mask=False), 1002),
    Frames("binary without a mask", frame(BINARY, b"x", mask=False), 1002),
    Frames("empty text without a mask", frame(TEXT, b"", mask=False), 1002),
    Frames("ping without a mask", frame(PING, b"x", mask=False), 1002),
    Frames("close without a mask", frame(CLOSE, b"\x03\xe8", mask=False), 1002),
    Frames("continuation without a mask", frame(TEXT, b"x", fin=False) + frame(CONT, b"y", mask=False), 1002),
    Frames("a server's frame sent back", b"\x81\x05hello", 1002),
    Frames("large text without a mask", frame(TEXT, bytes(70_000), mask=False), 1002),
]

RESERVED = [
    *(Frames(f"text with rsv {rsv}", frame(TEXT, b"x", rsv=rsv), 1002) for rsv in range(1, 8)),
    *(Frames(f"binary with rsv {rsv}", frame(BINARY, b"x", rsv=rsv), 1002) for rsv in (1, 2, 4)),
    *(Frames(f"ping with rsv {rsv}", frame(PING, b"x", rsv=rsv), 1002) for rsv in (1, 2, 4)),
    *(Frames(f"pong with rsv {rsv}", frame(PONG, b"x", rsv=rsv), 1002) for rsv in (1, 2, 4)),
    *(Frames(f"close with rsv {rsv}", frame(CLOSE, b"\x03\xe8", rsv=rsv), 1002) for rsv in (1, 2, 4)),
    Frames("continuation with rsv 4", frame(TEXT, b"x", fin=False) + frame(CONT, b"y", rsv=4), 1002),
    Frames(
        "a compressed frame, though none was agreed",
        frame(TEXT, bytes.fromhex("f248cdc9c90700"), rsv=4),
        1002,
    ),
    Frames("a deflate bomb, though none was agreed", frame(BINARY, b"\xec\xc1\x01\x01" + bytes(8000), rsv=4), 1002),
    *(Frames(f"opcode {opcode:#x}", frame(opcode, b"x"), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    *(Frames(f"opcode {opcode:#x}, empty", frame(opcode), 1002) for opcode in (3, 7, 11, 15)),
    Frames("opcode 0x3, not final", frame(3, b"x", fin=False), 1002),
    Frames("opcode 0xb within a message", frame(TEXT, b"x", fin=False) + frame(11, b"x"), 1002),
]

CONTROL = [
    *(Frames(f"fragmented {name}", frame(op, b"x", fin=False), 1002) for name, op in (("ping", PING), ("pong", PONG))),
    Frames("fragmented close", frame(CLOSE, b"\x03\xe8", fin=False), 1002),
    *(
        Frames(f"{name} of {size} bytes", frame(op, bytes(size)), 1002)
        for name, op in (("ping", PING), ("pong", PONG), ("close", CLOSE))
        for size in (126, 65_536)
    ),
    Frames("ping that announces 126 bytes", frame(PING, length=126), 1002),
    Frames("ping of 5 bytes with a long length", b"\x89\xfe\x00\x05" + bytes(9), 1002),
    Frames("close that announces 2^63 bytes", b"\x88\xff" + struct.pack("!Q", 1 << 63) + bytes(4), 1002),
]

ORDER = [
    Frames("continuation of nothing", frame(CONT, b"x"), 1002),
    Frames("continuation of nothing, not final", frame(CONT, b"x", fin=False), 1002),
    Frames("empty continuation of nothing", frame(CONT), 1002),
    Frames("text within text", frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
    Frames("binary within text", frame(TEXT, b"x", fin=False) + frame(BINARY, b"y"), 1002),
    Frames("text within binary, not final", frame(BINARY, b"x", fin=False) + frame(TEXT, b"y", fin=False), 1002),
    Frames("continuation after the end", fragments(TEXT, b"x", b"y") + frame(CONT, b"z"), 1002),
    Frames("continuation after a whole message", frame(BINARY, b"x") + frame(CONT, b"y"), 1002),
    Frames("continuation after a ping", frame(PING, b"x") + frame(CONT, b"y"), 1002),
]

LENGTHS = [
    Frames("5 bytes with a length of 16 bits", b"\x81\xfe\x00\x05" + bytes(9), 1002),
    Frames("125 bytes with a length of 16 bits", b"\x82\xfe\x00\x7d" + bytes(129), 1002),
    Frames("200 bytes with a length of 64 bits", b"\x81\xff" + struct.pack("!Q", 200) + bytes(204), 1002),
    Frames("65535 bytes with a length of 64 bits", b"\x82\xff" + struct.pack("!Q", 65_535) + bytes(4), 1002),
    Frames("no bytes with a length of 64 bits", b"\x82\xff" + bytes(12), 1002),
    Frames("2^63 announced", b"\x82\xff" + struct.pack("!Q", 1 << 63) + bytes(4), 1002),
    Frames("2^64-1 announced", b"\x82\xff" + b"\xff" * 8 + bytes(4), 1002),
    Frames("2^63-1 announced", frame(BINARY, length=(1 << 63) - 1), 1009, "max_message"),
    Frames("2^32 announced", frame(BINARY, length=1 << 32), 1009, "max_message"),
    Frames("1 GiB announced", frame(TEXT, length=1 << 30), 1009, "max_message"),
    Frames("one byte too many announced", frame(BINARY, length=MAX_MESSAGE + 1), 1009, "max_message"),
    Frames("one byte too many", frame(BINARY, bytes(MAX_MESSAGE + 1)), 1009, "max_message"),
    Frames("one byte too many of text", frame(TEXT, b"x" * (MAX_MESSAGE + 1)), 1009, "max_message"),
    Frames("too many in two parts", fragments(BINARY, bytes(6000), bytes(4001)), 1009, "max_message"),
    Frames("too many in many parts", fragments(BINARY, *[bytes(1000)] * 11), 1009, "max_message"),
    Frames("too many, and no end", fragments(BINARY, *[bytes(400)] * 26, fin=False), 1009, "max_message"),
    Frames(
        "a small part, and a sum that overflows",
        frame(BINARY, b"x", fin=False) + frame(CONT, length=(1 << 63) - 1),
        1009,
        "max_message",
    ),
    Frames("too many fragments", fragments(BINARY, *[b"x"] * (MAX_FRAGMENTS + 1)), 1009, "max_fragments"),
    Frames("too many empty fragments", fragments(TEXT, *[b""] * (MAX_FRAGMENTS + 1)), 1009, "max_fragments"),
    Frames("fragments without end", fragments(TEXT, *[b""] * 5000, fin=False), 1009, "max_fragments"),
]

TEXTS = [
    Frames("text: ff", frame(TEXT, b"\xff"), 1007),
    Frames("text: lone continuation byte", frame(TEXT, b"\x80"), 1007),
    Frames("text: cut at its end", frame(TEXT, b"abc" + EURO[:2]), 1007),
    Frames("text: surrogate", frame(TEXT, b"\xed\xa0\x80"), 1007),
    Frames("text: surrogate pair", frame(TEXT, b"\xed\xa0\xbd\xed\xb2\xa9"), 1007),
    Frames("text: overlong NUL", frame(TEXT, b"\xc0\x80"), 1007),
    Frames("text: overlong slash", frame(TEXT, b"\xc0\xaf"), 1007),
    Frames("text: overlong in four bytes", frame(TEXT, b"\xf0\x80\x80\xaf"), 1007),
    Frames("text: beyond U+10FFFF", frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    Frames("text: five bytes", frame(TEXT, b"\xf8\x88\x80\x80\x80"), 1007),
    Frames("text: fe", frame(TEXT, b"\xfe\xfe\xff\xff"), 1007),
    Frames("text: UTF-16", frame(TEXT, "\ufeffhi".encode("utf-16-le")), 1007),
    Frames("text: Latin-1", frame(TEXT, "M\u00fcnchen".encode("latin-1")), 1007),
    Frames("text: wrong at the end of much", frame(TEXT, b"x" * 9000 + b"\xff"), 1007),
    Frames("text in parts: wrong in the second", fragments(TEXT, b"ok", b"\xff", fin=False), 1007),
    Frames("text in parts: cut character goes on wrongly", fragments(TEXT, EURO[:2], b"x", fin=False), 1007),
    Frames("text in parts: cut at its end", fragments(TEXT, EURO[:2], b""), 1007),
    Frames("text in parts: surrogate over two", fragments(TEXT, b"\xed", b"\xa0\x80"), 1007),
    Frames("text in parts: byte by byte beyond U+10FFFF", fragments(TEXT, b"\xf4", b"\x90", b"\x80", b"\x80"), 1007),
    Frames("close reason: ff", raw_close(b"\x03\xe8\xff"), 1007),
    Frames("close reason: cut", raw_close(b"\x03\xe8" + EURO[:1]), 1007),
    Frames("close reason: surrogate", raw_close(b"\x03\xe8\xed\xa0\x80"), 1007),
    Frames("close reason: overlong", raw_close(b"\x03\xe8\xc0\x80"), 1007),
    Frames("close reason: cut at 123 bytes", raw_close(b"\x03\xe8" + b"x" * 122 + b"\xe2"), 1007),
]

CLOSES = [
    Frames("close of one byte", raw_close(b"\x03"), 1002),
    *(
        Frames(f"close code {code}", bad_code(code), 1002)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 32_768, 65_535)
    ),
    Frames("close code 1005 with a reason", raw_close(b"\x03\xed" + b"gone"), 1002),
]

GARBAGE = [
    Frames("HTTP after the 101", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1002),
    Frames("zeros after the 101", bytes(100), 1002),
    Frames("ones after the 101", b"\xff" * 100, 1002),
    Frames("a second upgrade after the 101", b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", 1002),
    Frames("a TLS hello after the 101", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 1002),
    Frames("good text, then garbage", frame(TEXT, b"good") + b"\xff\x00" * 50, 1002),
]

VIOLATIONS = [*MASKS, *RESERVED, *CONTROL, *ORDER, *LENGTHS, *TEXTS, *CLOSES, *GARBAGE]


class Endings(NamedTuple):
    """A row: bytes that end a connection in order, the code that the server says (None: none), and what it notes."""

    name: str
    data: bytes
    answer: int | None
    noted: int

    def __repr__(self) -> str:
        return self.name


ENDINGS = [
    Endings("close without a code", close_frame(), None, 1005),
    *(
        Endings(f"close code {code}", close_frame(code), code, code)
        for code in (1000, 1001, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4500, 4999)
    ),
    Endings("close with the longest reason", close_frame(1000, b"x" * 123), 1000, 1000),
    Endings("data after the close", close_frame(1000) + frame(TEXT, b"late"), 1000, 1000),
    Endings("a violation after the close", close_frame(1000) + b"\xff" * 100, 1000, 1000),
    Endings("a second close", close_frame(1000) + close_frame(1001), 1000, 1000),
    Endings("a bad close after the close", close_frame(1000) + bad_code(0), 1000, 1000),
    Endings("a flood after the close", close_frame(1000) + frame(PING, b"x") * 5000, 1000, 1000),
    Endings("close within a message", frame(TEXT, b"x", fin=False) + close_frame(1000), 1000, 1000),
    Endings("close within a character", frame(TEXT, EURO[:1], fin=False) + close_frame(1000), 1000, 1000),
    Endings("close behind half a frame", frame(TEXT, b"half")[:-1] + b"\0" + close_frame(1001), 1001, 1001),
    Endings("pings within a message", fragments(TEXT, b"a") + frame(PING, b"1") * 3 + close_frame(1000), 1000, 1000),
]
