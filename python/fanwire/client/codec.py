"""Envelopes to frames and back. Pure; all of the server's input is checked here, so that nothing behind it has to."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from fanwire.client.errors import ProtocolError

__all__ = [
    "Closing",
    "Codec",
    "Count",
    "Envelope",
    "ErrorInfo",
    "JoinedInfo",
    "LeftInfo",
    "MemberInfo",
    "SkippedInfo",
    "Welcome",
    "convert",
]

T = TypeVar("T")

MAX_MS = 3_600_000
"""Milliseconds that a server can ask to wait, as `backoff.MAX_AFTER` has it. JSON's integers have no end, floats do."""


class Envelope(Struct, omit_defaults=True):
    """One message of the protocol; absent fields are `UNSET`."""

    type: str
    id: str | UnsetType = UNSET
    ts: int | UnsetType = UNSET
    re: str | UnsetType = UNSET
    room: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET
    prev: int | UnsetType = UNSET
    key: str | UnsetType = UNSET
    ack: bool | UnsetType = UNSET
    encoding: str | UnsetType = UNSET
    payload: Any = UNSET


class Welcome(Struct):
    """The payload of `welcome`. Defaults are those of the protocol's example."""

    session: str
    resumed: bool
    received: int = 0
    heartbeat_ms: int = 25_000
    grace_ms: int = 30_000
    ack_frames: int = 512
    ack_bytes: int = 65_536
    max_message: int = 1 << 20
    reason: str = ""

    def __post_init__(self) -> None:
        numbers = (self.ack_frames, self.ack_bytes, self.max_message)
        if min(self.received, self.heartbeat_ms) < 0 or min(numbers) < 1:
            raise ValueError("a number of the welcome is out of range")


class JoinedInfo(Struct):
    """The payload of `joined`. `snapshot` is `UNSET` where the application supplies none."""

    epoch: str
    recovered: bool = False
    delivery: str = "reliable"
    reason: str = ""
    snapshot: Any = UNSET
    members: list[MemberInfo] | UnsetType = UNSET


class LeftInfo(Struct):
    """The payload of a `left` that nobody asked for."""

    reason: str = "removed"
    text: str = ""


class MemberInfo(Struct):
    """The payload of `member_joined` and `member_left`."""

    id: str
    info: Any = None


class SkippedInfo(Struct):
    """The payload of `skipped`."""

    reason: str
    count: int
    first: int
    last: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last or self.count < 0:
            raise ValueError("no range")


class ErrorInfo(Struct):
    """The payload of `error`."""

    code: str
    text: str = ""
    retry: bool = False
    path: str | None = None
    retry_after_ms: int | None = None
    data: Any = None

    def __post_init__(self) -> None:
        self.retry_after_ms = _bounded(self.retry_after_ms)


class Closing(Struct):
    """The payload of `closing`."""

    code: int
    reason: str = ""
    reconnect: bool = True
    after_ms: int | None = None

    def __post_init__(self) -> None:
        self.after_ms = _bounded(self.after_ms)


class Count(Struct):
    """The payload of `received`."""

    count: int


class Codec:
    """One of the two encodings.

    Args:
        encoding: "json" or "msgpack".

    Attributes:
        subprotocol: its name at the upgrade.

    Raises:
        ValueError: there is no such encoding.
    """

    __slots__ = ("_is_text", "subprotocol")

    def __init__(self, encoding: str) -> None:
        if encoding not in ("json", "msgpack"):
            raise ValueError(f"the encoding is json or msgpack, not {encoding!r}")
        self._is_text = encoding == "json"
        self.subprotocol = f"fanwire.v1.{encoding}"

    def encode(self, envelope: Envelope) -> bytes | str:
        """Makes a frame: str is a text message, bytes a binary one. Bytes as payload of JSON become base64.

        Raises:
            TypeError: the payload cannot be encoded.
            ValueError: nor can this one (an integer beyond 64 bits).
        """
        try:
            if not self._is_text:
                return _to_msgpack(envelope)
            if isinstance(envelope.payload, (bytes, bytearray, memoryview)):
                envelope.payload = b64encode(envelope.payload).decode()
                envelope.encoding = "base64"
            return _to_json(envelope).decode()
        except OverflowError as error:
            raise ValueError(str(error)) from error

    def decode(self, frame: bytes | str) -> Envelope:
        """Reads a frame.

        Raises:
            ProtocolError: it is not what the protocol says.
        """
        if isinstance(frame, str) is not self._is_text:
            raise ProtocolError("a frame of the other encoding")
        try:
            # What is nested too deep is an error of the sender, too.
            envelope = _from_json(frame) if self._is_text else _from_msgpack(frame)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise ProtocolError(f"no envelope: {error}") from error
        if envelope.encoding is not UNSET:
            envelope.payload = _from_base64(envelope)
        return envelope


def convert(envelope: Envelope, kind: type[T]) -> T:
    """Reads the payload of an envelope.

    Raises:
        ProtocolError: it is not what the type says.
    """
    payload = {} if envelope.payload is UNSET else envelope.payload
    try:
        return msgspec.convert(payload, kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise ProtocolError(f"payload of {envelope.type}: {error}") from error


def _bounded(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else min(max(0, milliseconds), MAX_MS)


def _from_base64(envelope: Envelope) -> bytes:
    if envelope.encoding != "base64" or not isinstance(envelope.payload, str):
        raise ProtocolError(f"encoding {envelope.encoding!r} of a payload")
    try:
        return b64decode(envelope.payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(f"base64: {error}") from error


_to_json = msgspec.json.Encoder().encode
_to_msgpack = msgspec.msgpack.Encoder().encode
_from_json = msgspec.json.Decoder(Envelope).decode
_from_msgpack: Any = msgspec.msgpack.Decoder(Envelope).decode
