"""Envelopes in both encodings: decodes bytes to checked values, and encodes values. docs/protocol.md has the fields."""

from __future__ import annotations

import base64
import binascii
import math
import re as regex
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import orjson

from fanwire.config import MOST_SECONDS
from fanwire.protocol import table
from fanwire.reject import Reject
from fanwire.values.encoding import (
    MAX_NESTING,
    NESTING_LIMIT,
    InvalidDocument,
    encode,
    from_json,
    from_msgpack,
    packed,
    without_payload,
)

__all__ = ["JSON", "MSGPACK", "RAW", "SUBPROTOCOLS", "Codec", "Incoming", "Refusal", "RoomName", "read"]

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=table.ID_MAX)]
RoomName = Annotated[str, msgspec.Meta(min_length=1, max_length=table.ROOM_MAX)]
MessageKey = Annotated[str, msgspec.Meta(min_length=1, max_length=table.KEY_MAX)]


class Incoming(msgspec.Struct):
    """A message of a client. Its payload is not decoded yet."""

    type: Annotated[str, msgspec.Meta(min_length=1, max_length=table.TYPE_MAX)]
    id: Id | None = None
    room: RoomName | None = None
    key: MessageKey | None = None
    re: Id | None = None
    encoding: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"")


class Refusal(Exception):
    """The reason why a message of a client is refused: the content of an `error`.

    Args:
        code: for programs; one of the codes in docs/protocol.md.
        text: for people.
        path: of the wrong field, such as `$.since.seq`.
        retry: whether the same message may succeed later.
        retry_after: seconds until then.
        data: the application's own; None: nothing.

    Attributes:
        about: the message, if its envelope could be decoded and only its payload could not.
    """

    about: Incoming | None = None

    def __init__(
        self,
        code: str,
        text: str,
        *,
        path: str | None = None,
        retry: bool = False,
        retry_after: float | None = None,
        data: Any = None,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.path = path
        self.retry = retry
        self.retry_after = retry_after
        self.data = data

    def payload(self) -> dict[str, Any]:
        """The payload of the `error`."""
        payload: dict[str, Any] = {"code": self.code, "text": str(self), "retry": self.retry}
        if self.path is not None:
            payload["path"] = self.path
        if self.retry_after is not None:
            payload["retry_after_ms"] = math.ceil(min(self.retry_after, MOST_SECONDS) * 1000)
        if self.data is not None:
            payload["data"] = self.data
        return payload


class Codec:
    """One encoding.

    Attributes:
        name: as the engine has it.
        subprotocol: the WebSocket subprotocol that a client offers for it.
        is_text: whether its messages are text frames.
    """

    def __init__(self, name: str, is_text: bool) -> None:
        self.name = name
        self.subprotocol = table.SUBPROTOCOLS[name]
        self.is_text = is_text
        self._module = msgspec.json if is_text else msgspec.msgpack
        self._decode = self._module.Decoder(Incoming).decode
        self._encode = self._module.Encoder().encode

    def decode(self, frame: bytes | str) -> Incoming:
        """Decodes the envelope of a client's message.

        Raises:
            Refusal: `bad_encoding` or `bad_message`.
        """
        if isinstance(frame, str) is not self.is_text:
            wanted, got = ("text", "binary") if self.is_text else ("binary", "text")
            raise Refusal("bad_encoding", f"{self.subprotocol} is in {wanted} messages; this one is {got}")
        try:
            incoming: Incoming = self._decode(frame)
        except msgspec.ValidationError as error:
            raise Refusal("bad_message", f"not an envelope: {_text(error)}", path=_path(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._malformed(frame, error) from error
        return incoming

    def _malformed(self, frame: bytes | str, error: Exception) -> Refusal:
        """The refusal of a message that cannot be decoded. If only its payload is wrong, the refusal names the message
        and the path."""
        refusal = Refusal("bad_message", f"not {self.name}: {error}")
        parts = without_payload(frame)
        if parts is None:
            return refusal
        try:
            incoming: Incoming = self._decode(parts[0])
            incoming.payload = msgspec.Raw(parts[1])
            self.document(incoming, NESTING_LIMIT)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return refusal
        except Refusal as fault:
            fault.about = incoming
            return fault
        return refusal

    def document(self, incoming: Incoming, max_nesting: int = MAX_NESTING) -> tuple[bytes | str, bool]:
        """The payload of a message as `encoding.encode` returns it, for publishing. It is the same for both codecs.

        Raises:
            Refusal: `invalid_payload`, with the path of a value that cannot be carried exactly; `bad_message`, the
                field `encoding` is not "base64".
        """
        raw = bytes(incoming.payload)
        if not raw:
            return b"null", True
        try:
            data, is_json = from_json(raw, max_nesting) if self.is_text else from_msgpack(raw, max_nesting)
        except InvalidDocument as error:
            raise Refusal("invalid_payload", error.text, path=error.path) from error
        if incoming.encoding is None:
            return data, is_json
        if incoming.encoding != "base64":
            raise Refusal("bad_message", f"encoding must be base64, got {incoming.encoding[:40]!r}", path="$.encoding")
        if is_json or not isinstance(data, str):
            raise Refusal("invalid_payload", "must be a string, as the encoding is base64", path="$")
        try:
            return base64.b64decode(data, validate=True), False
        except (binascii.Error, ValueError) as error:
            raise Refusal("invalid_payload", f"must be base64: {error}", path="$") from error

    def payload(self, incoming: Incoming, schema: Any = None, max_nesting: int = MAX_NESTING) -> Any:
        """The payload of a message as a value, checked against a schema: a type that msgspec knows, or a pydantic
        model.

        Raises:
            Refusal: as `document`; or the payload is not what the schema says.
        """
        return read(*self.document(incoming, max_nesting), schema)

    def plain(self, incoming: Incoming, schema: Any) -> Any:
        """Decodes a payload of the protocol that consists of numbers and names. Such messages may come some hundred
        times a second, and `payload` takes five times as long.

        Args:
            incoming: the message.
            schema: a type that msgspec knows.

        Raises:
            Refusal: `invalid_payload`, with the path of the field.
        """
        if incoming.encoding is not None:
            raise Refusal("invalid_payload", f"the payload of {incoming.type} must not be bytes (encoding)", path="$")
        decode = _decoder(schema) if self.is_text else _unpacker(schema)
        try:
            return decode(incoming.payload or (b"null" if self.is_text else b"\xc0"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal("invalid_payload", _text(error), path=_path(error)) from error

    def encode(self, envelope: dict[str, Any], max_nesting: int = NESTING_LIMIT) -> bytes:
        """Encodes an envelope. Fields that are None are left out. The payload is any value that `encoding.encode`
        takes, or a `msgspec.Raw` of this encoding.

        Raises:
            TypeError, ValueError: the payload cannot be encoded.
        """
        fields = {name: value for name, value in envelope.items() if value is not None}
        if "payload" in fields and not isinstance(fields["payload"], msgspec.Raw):
            data, is_json = encode(fields["payload"], max_nesting)
            if isinstance(data, str):
                fields["payload"] = data
            elif is_json:
                fields["payload"] = msgspec.Raw(data if self.is_text else packed(data))
            elif self.is_text:
                fields["payload"], fields["encoding"] = base64.b64encode(data).decode(), "base64"
            else:
                fields["payload"] = data
        encoded: bytes = self._encode(fields)
        return encoded

    def encode_plain(self, envelope: dict[str, Any]) -> bytes:
        """Encodes an envelope whose payload consists of numbers and names, without checks: this takes a tenth of the
        time."""
        encoded: bytes = self._encode(envelope)
        return encoded


def read(data: bytes | str, is_json: bool, schema: Any = None) -> Any:
    """The value of a payload, checked against a schema. A MessagePack payload has been translated to JSON before.

    Args:
        data: the payload.
        is_json: whether it is a JSON document.
        schema: a type that msgspec knows, a pydantic model or dataclass; None: any value.

    Raises:
        Refusal: `invalid_payload`, with the path of the field.
    """
    if schema is None and not is_json:
        return data
    try:
        if isinstance(data, bytes) and not is_json:
            validator = getattr(schema, "__pydantic_validator__", None)
            return msgspec.convert(data, schema) if validator is None else validator.validate_python(data)
        document = data if is_json else orjson.dumps(data)
        if schema is None:
            return _decode(document)
        if hasattr(schema, "model_validate_json"):
            return schema.model_validate_json(document)
        if hasattr(schema, "__pydantic_validator__"):
            return schema.__pydantic_validator__.validate_json(document)
        return _decoder(schema)(document)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, Reject):
            # A validator has raised a `Reject`, which is a ValueError as well.
            raise error.__cause__ from None
        raise Refusal("invalid_payload", _text(error), path=_path(error)) from error
    except Reject:
        raise
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refusal("invalid_payload", str(error), path="$") from error
    except ValueError as error:
        # pydantic's ValidationError is a ValueError, and has the path.
        first: dict[str, Any] = error.errors()[0] if hasattr(error, "errors") else {"msg": str(error), "loc": ()}
        cause = first.get("ctx", {}).get("error", error)
        if isinstance(cause, Reject):
            raise cause from None
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise Refusal("invalid_payload", first["msg"], path=f"${path}") from error


_decode = msgspec.json.Decoder().decode


@lru_cache(maxsize=256)
def _decoder(schema: Any) -> Callable[[bytes | str], Any]:
    return msgspec.json.Decoder(schema).decode


@lru_cache(maxsize=256)
def _unpacker(schema: Any) -> Callable[[bytes], Any]:
    return msgspec.msgpack.Decoder(schema).decode


def _text(error: Exception) -> str:
    return str(error).partition(" - at `")[0]


def _path(error: Exception) -> str:
    # For a key of a map msgspec writes: "- at `key` in `$.taken`".
    found = regex.search(r" - at (?:`key` in )?`(\$.*)`$", str(error))
    return found[1] if found else "$"


JSON = Codec("json", is_text=True)
MSGPACK = Codec("msgpack", is_text=False)
SUBPROTOCOLS = {codec.subprotocol: codec for codec in (JSON, MSGPACK)}

RAW = table.SUBPROTOCOLS["raw"]
"""The subprotocol of clients without a session. They need not offer it. But a browser that offers a subprotocol, such
as a token, fails if the server accepts none."""
