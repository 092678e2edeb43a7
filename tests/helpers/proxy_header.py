"""Headers of the PROXY protocol by hand, as HAProxy sends them: version 1 is a line, version 2 is binary."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address, ip_address

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
"""Version 2 and the command, in one byte."""
UNSPECIFIED, TCP4, TCP6, UDP4, UNIX = 0x00, 0x11, 0x21, 0x12, 0x31
UNKNOWN = b"PROXY UNKNOWN\r\n"


def text(source: str, port: int = 56324, destination: str | None = None) -> bytes:
    """Version 1."""
    address = ip_address(source)
    family = "TCP6" if isinstance(address, IPv6Address) else "TCP4"
    to = destination or ("::1" if family == "TCP6" else "127.0.0.1")
    return f"PROXY {family} {source} {to} {port} 443\r\n".encode()


def binary(source: str | None, port: int = 56324, *, tlvs: bytes = b"", command: int = PROXY) -> bytes:
    """Version 2; without a source: of a connection whose addresses are not known."""
    if source is None:
        return raw(command, UNSPECIFIED, tlvs)
    address = ip_address(source)
    is_6 = isinstance(address, IPv6Address)
    to = ip_address("::1" if is_6 else "127.0.0.1")
    body = address.packed + to.packed + struct.pack("!HH", port, 443)
    return raw(command, TCP6 if is_6 else TCP4, body + tlvs)


def raw(command: int, family: int, body: bytes, *, length: int | None = None) -> bytes:
    """Version 2 with whatever stands in it."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(body) if length is None else length) + body


def tlv(kind: int, value: bytes) -> bytes:
    """What may stand behind the addresses."""
    return struct.pack("!BH", kind, len(value)) + value
