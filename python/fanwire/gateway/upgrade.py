"""An upgrade request, checked (RFC 6455 sections 4.1 and 4.2.1). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

from fanwire.origin import is_host
from fanwire.request import Head
from fanwire.wire import RAW, SUBPROTOCOLS, Codec

__all__ = ["BadUpgrade", "Upgrade", "check_upgrade", "switching"]


class BadUpgrade(Exception):
    """A request that no server should accept.

    Attributes:
        status: what it is answered with.
        headers: lines that belong to the answer.
    """

    def __init__(self, status: HTTPStatus, reason: str, *headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


class Upgrade(NamedTuple):
    """A request that may be accepted.

    Attributes:
        key: its `Sec-WebSocket-Key`.
        host: its `Host`.
        origin: its `Origin`; None if it is no browser's.
        subprotocol: the one to answer with; None: none, since none was offered that we speak.
        codec: how the client's session speaks; None: it has none.
    """

    key: bytes
    host: str
    origin: str | None
    subprotocol: str | None
    codec: Codec | None


def check_upgrade(head: Head) -> Upgrade:
    """Checks a request.

    Raises:
        BadUpgrade: it is not as it should be. The text may quote what a peer should not see.
    """
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in head.headers:
        lower = name.lower()
        if not value.isascii() and (lower in CLEAN or lower.startswith(b"sec-websocket-")):
            raise BadUpgrade(HTTPStatus.BAD_REQUEST, f"header {lower.decode('ascii')} is not ASCII")
        by_name.setdefault(lower, []).append(value)

    def one(name: bytes) -> bytes:
        values = by_name.get(name, [])
        if len(values) != 1:
            raise BadUpgrade(HTTPStatus.BAD_REQUEST, f"{len(values)} headers {name.decode()}, not one")
        return values[0]

    if head.method != b"GET" or head.version != "1.1":
        raise BadUpgrade(HTTPStatus.BAD_REQUEST, "an upgrade is a GET of HTTP/1.1")
    if not head.target.isascii() or not head.target.startswith(b"/"):
        raise BadUpgrade(HTTPStatus.BAD_REQUEST, "the target is no path of ASCII")
    if b"transfer-encoding" in by_name or by_name.get(b"content-length", [b"0"]) != [b"0"]:
        # What follows would be a body to one reader and frames to another: request smuggling.
        raise BadUpgrade(HTTPStatus.BAD_REQUEST, "an upgrade has no body")
    for name in SINGLE:
        if len(by_name.get(name, [])) > 1:
            # Which one counts is a matter of taste, and a proxy before us may have another.
            raise BadUpgrade(HTTPStatus.BAD_REQUEST, f"more than one header {name.decode()}")
    host = one(b"host").decode()
    if not is_host(host):
        raise BadUpgrade(HTTPStatus.BAD_REQUEST, "the host is no name or address")
    if one(b"sec-websocket-version") != b"13":
        right = ("Sec-WebSocket-Version: 13", "Upgrade: websocket")
        raise BadUpgrade(HTTPStatus.UPGRADE_REQUIRED, "not version 13", *right)
    key = one(b"sec-websocket-key")
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            raise BadUpgrade(HTTPStatus.BAD_REQUEST, "the key is not of 16 bytes")
    except binascii.Error:
        raise BadUpgrade(HTTPStatus.BAD_REQUEST, "the key is not base64") from None
    origin = by_name[b"origin"][0].decode() if b"origin" in by_name else None
    subprotocol = _chosen(by_name.get(b"sec-websocket-protocol", []))
    return Upgrade(key, host, origin, subprotocol, SUBPROTOCOLS.get(subprotocol or ""))


def switching(upgrade: Upgrade) -> bytes:
    """The 101 that accepts it (RFC 6455 section 4.2.2)."""
    accept = base64.b64encode(hashlib.sha1(upgrade.key + GUID, usedforsecurity=False).digest())
    lines = [
        b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept,
    ]  # fmt: skip
    if upgrade.subprotocol is not None:
        lines.append(b"Sec-WebSocket-Protocol: " + upgrade.subprotocol.encode())
    return b"\r\n".join([*lines, b"", b""])


def _chosen(offers: Sequence[bytes]) -> str | None:
    """The first of the subprotocols offered that we speak (RFC 6455 section 4.2.2)."""
    for value in offers:
        for offer in value.split(b","):
            name = offer.strip().decode()
            if name in SUBPROTOCOLS or name == RAW:
                return name
    return None


CLEAN = (b"host", b"origin", b"upgrade", b"connection", b"content-length", b"transfer-encoding")
"""Headers that are read here, together with those of the handshake. Values of others are any bytes (RFC 9110 section
5.5): a proxy adds the name of its client's city, a website a cookie in its own language."""

SINGLE = (b"origin", b"authorization", b"upgrade", b"x-forwarded-proto")
"""Headers that a request has at most once."""

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What RFC 6455 section 1.3 adds to a key."""
