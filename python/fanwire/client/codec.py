"""Encodes and decodes envelopes. Pure. Everything that a server sends is checked here, so that other modules need not
check it."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from fanwire.client.errors import ProtocolError
from fanwire.protocol.table import SEQ_MAX, SUBPROTOCOLS
from fanwire.values.checks import described
from fanwire.values.encoding import encode, packed, without_payload

__all__ = [
    "ClientCodec",
    "Closing",
    "Count",
    "Envelope",
    "ErrorInfo",
    "JoinedInfo",
    "KeptPage",
    "LeftInfo",
    "MemberInfo",
    "MembersInfo",
    "PatternInfo",
    "RatesInfo",
    "SkippedInfo",
    "TokenInfo",
    "Unreadable",
    "Welcome",
    "WindowInfo",
    "convert",
    "from_base64",
]

T = TypeVar("T")
Number = Annotated[int, msgspec.Meta(le=SEQ_MAX)]
Countable = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""Integers that can be sent back, and that a float can hold. JSON's have no end."""

JSON_ARRAY = frozenset("[")
"""What a JSON array begins with; a server sends no space before it."""
MSGPACK_ARRAY = frozenset([*range(0x90, 0xA0), 0xDC, 0xDD])
"""What a MessagePack array begins with."""

MAX_MS = 3_600_000
"""Milliseconds that a server can ask to wait, as `backoff.MAX_AFTER` has it. JSON's integers have no end, floats do."""


class Envelope(Struct, omit_defaults=True):
    """One message of the protocol; absent fields are `UNSET`."""

    type: str
    id: str | UnsetType = UNSET
    ts: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] | UnsetType = UNSET
    re: str | UnsetType = UNSET
    room: str | UnsetType = UNSET
    seq: Number | UnsetType = UNSET
    prev: int | UnsetType = UNSET
    base: int | UnsetType = UNSET
    key: str | UnsetType = UNSET
    ack: bool | UnsetType = UNSET
    encoding: str | UnsetType = UNSET
    payload: Any = UNSET


@dataclass(frozen=True)
class Unreadable:
    """Replaces the payload of an envelope if the payload cannot be decoded. The rest of the envelope is valid.

    Attributes:
        why: the reason, for people.
    """

    why: str


class Welcome(Struct):
    """The payload of `welcome`. A field that the server leaves out has the value of the example in docs/protocol.md
    (the server's defaults)."""

    session: str
    resumed: bool
    received: int = 0
    heartbeat_ms: Countable = 25_000
    grace_ms: int = 30_000
    ack_frames: int = 4096
    ack_bytes: int = 512 << 10
    max_message: int = 1 << 20
    expires_in_ms: int | None = None
    window: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        self.expires_in_ms = _milliseconds(self.expires_in_ms)
        numbers = (self.ack_frames, self.ack_bytes, self.max_message)
        if min(self.received, self.heartbeat_ms, self.window) < 0 or min(numbers) < 1:
            raise ValueError(f"a number of the welcome is out of range: {self}")


class JoinedInfo(Struct):
    """The payload of `joined`. `snapshot` is `UNSET` where the application supplies none."""

    epoch: str
    recovered: bool = False
    delivery: str = "reliable"
    delta: bool = False
    reason: str = ""
    max_rate: float | None = None
    max_bytes: Countable | None = None
    filtered: bool = False
    after: Number | UnsetType = UNSET
    last: int = 0
    repair: str | None = None
    pattern: str | None = None
    snapshot: Any = UNSET
    count: int | UnsetType = UNSET
    members: list[MemberInfo] | UnsetType = UNSET


class RatesInfo(Struct):
    """The payload of the `reply` to a `configure`."""

    max_rate: float | None = None
    max_bytes: Countable | None = None
    filter: Any = UNSET


class PatternInfo(Struct):
    """The payload of the `reply` to the join of a pattern."""

    rooms: list[str] = []


class LeftInfo(Struct):
    """The payload of a `left` that answers no leave."""

    reason: str = "removed"
    text: str = ""


class MemberInfo(Struct):
    """The payload of `member_joined` and `member_left`."""

    id: str
    info: Any = None


class MembersInfo(Struct):
    """The payload of the `reply` to a presence request: one page of the members."""

    count: int
    members: list[MemberInfo] = []
    next: str | None = None


class KeptPage(Struct):
    """The payload of the `reply` to a history request: one page of the messages that a room keeps."""

    epoch: str
    messages: list[Envelope] = []
    more: bool = False


class SkippedInfo(Struct):
    """The payload of `skipped`."""

    reason: str
    count: int
    first: int
    last: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last <= SEQ_MAX or self.count < 0:
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


class WindowInfo(Struct):
    """The payload of `window`."""

    bytes: int


class ProcessedInfo(Struct):
    """The payload of `inputs`."""

    number: int


class TokenInfo(Struct):
    """The payload of the `reply` to a token."""

    expires_in_ms: int | None = None

    @property
    def seconds(self) -> float | None:
        """Seconds for which the token is valid; None: it does not expire."""
        milliseconds = _milliseconds(self.expires_in_ms)
        return None if milliseconds is None else milliseconds / 1000


class ClientCodec:
    """Encodes and decodes envelopes in one encoding.

    Args:
        encoding: "json" or "msgpack".

    Attributes:
        subprotocol: the name that is offered at the upgrade.

    Raises:
        ValueError: the encoding is unknown.
    """

    __slots__ = ("_array", "_decode_envelope", "_decode_payload", "_is_text", "_split", "subprotocol")

    def __init__(self, encoding: str) -> None:
        if encoding not in ("json", "msgpack"):
            raise ValueError(f'encoding must be "json" or "msgpack", got {described(encoding)}')
        self._is_text = encoding == "json"
        self.subprotocol = SUBPROTOCOLS[encoding]
        self._decode_envelope: Callable[[Any], Any]
        self._decode_payload: Callable[[Any], Any]
        self._array: frozenset[str] | frozenset[int]
        self._split: Callable[[Any], list[msgspec.Raw]]
        if self._is_text:
            self._decode_envelope = msgspec.json.Decoder(_Frame).decode
            self._decode_payload = msgspec.json.Decoder().decode
            self._array = JSON_ARRAY
            self._split = msgspec.json.Decoder(list[msgspec.Raw]).decode
        else:
            self._decode_envelope = msgspec.msgpack.Decoder(_Frame).decode
            self._decode_payload = msgspec.msgpack.Decoder(ext_hook=_refuse_extension).decode
            self._array = MSGPACK_ARRAY
            self._split = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode

    def encode(self, envelope: Envelope) -> bytes | str:
        """Returns the frame of an envelope: str for a text message, bytes for a binary one. The payload is any value of
        docs/values.md.

        Raises:
            TypeError, ValueError: the payload cannot be encoded; the text names the path.
        """
        if envelope.payload is not UNSET:
            data, is_json = encode(envelope.payload)
            if isinstance(data, str):
                envelope.payload = data
            elif is_json:
                envelope.payload = msgspec.Raw(data if self._is_text else packed(data))
            elif self._is_text:
                envelope.payload, envelope.encoding = b64encode(data).decode(), "base64"
            else:
                envelope.payload = data
        return _to_json(envelope).decode() if self._is_text else _to_msgpack(envelope)

    def split(self, frame: bytes | str) -> Sequence[bytes | str]:
        """Returns the frames that the envelopes of a batch would have alone (docs/protocol.md, batches); of any other
        frame itself.

        Raises:
            ProtocolError: the frame is a batch that cannot be split.
        """
        if not frame or frame[0] not in self._array:
            return (frame,)
        try:
            parts = self._split(frame)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise ProtocolError(f"no batch: {error}") from error
        if not parts:
            raise ProtocolError("a batch without a message")
        return [bytes(part).decode() if self._is_text else bytes(part) for part in parts]

    def decode(self, frame: bytes | str) -> Envelope:
        """Returns the envelope of a frame that is no batch. A payload that cannot be decoded is replaced by
        `Unreadable`.

        Raises:
            ProtocolError: the frame is not an envelope of the protocol.
        """
        if isinstance(frame, str) is not self._is_text:
            raise ProtocolError("a frame of the other encoding")
        envelope = self._envelope(frame)
        raw = envelope.payload
        if not isinstance(raw, msgspec.Raw):
            return envelope
        try:
            envelope.payload = self._decode_payload(raw) if len(raw) else UNSET
            if envelope.encoding is not UNSET:
                envelope.payload = from_base64(envelope)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            envelope.payload = Unreadable(str(error))
        return envelope

    def _envelope(self, frame: bytes | str) -> Envelope:
        try:
            envelope: Envelope = self._decode_envelope(frame)
            return envelope
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            # To step over a payload costs as much of the stack as to read it.
            parts = without_payload(frame)
            if parts is None:
                raise ProtocolError(f"no envelope: {error}") from error
            why = error
        try:
            envelope = self._decode_envelope(parts[0])
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise ProtocolError(f"no envelope: {error}") from error
        envelope.payload = Unreadable(str(why))
        return envelope


def convert(envelope: Envelope, kind: type[T]) -> T:
    """Reads the payload of an envelope as a type.

    Raises:
        ProtocolError: the payload does not match the type.
    """
    payload = {} if envelope.payload is UNSET else envelope.payload
    if isinstance(payload, Unreadable):
        raise ProtocolError(f"payload of {envelope.type}: {payload.why}")
    try:
        return msgspec.convert(payload, kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise ProtocolError(f"payload of {envelope.type}: {error}") from error


def _milliseconds(number: int | None) -> int | None:
    # JSON's integers have no end, floats do.
    return None if number is None else min(max(0, number), 1 << 53)


def _bounded(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else min(max(0, milliseconds), MAX_MS)


def from_base64(envelope: Envelope) -> bytes:
    """The bytes of a payload that is base64 text.

    Raises:
        ValueError: it is not.
    """
    if envelope.encoding != "base64":
        raise ValueError(f"the server says that it is {envelope.encoding!r}")
    if not isinstance(envelope.payload, str):
        raise ValueError("a base64 payload must be a string")
    try:
        return b64decode(envelope.payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"base64: {error}") from error


def _refuse_extension(code: int, data: memoryview) -> NoReturn:
    raise ValueError(f"a MessagePack extension of the type {code}")


_to_json = msgspec.json.Encoder().encode
_to_msgpack = msgspec.msgpack.Encoder().encode
_Frame = msgspec.defstruct("_Frame", [("payload", msgspec.Raw, msgspec.Raw(b""))], bases=(Envelope,))
"""An envelope whose payload is not looked at yet."""
