"""Envelopes of sessions in both encodings: bytes to checked values and back. Pure; docs/protocol.md has the fields."""

from __future__ import annotations

import base64
import binascii
import math
import re as regex
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import orjson

from fanwire.reject import Reject

__all__ = ["JSON", "MSGPACK", "RAW", "SUBPROTOCOLS", "Codec", "Incoming", "Refusal", "encode_payload"]

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Room = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class Incoming(msgspec.Struct):
    """A message of a client, its payload not yet looked at."""

    type: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    id: Id | None = None
    room: Room | None = None
    key: Room | None = None
    re: Id | None = None
    encoding: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"")


class Refusal(Exception):
    """Why a message of a client was not done: what its `error` reply says.

    Args:
        code: for programs; one of those in docs/protocol.md.
        text: for people.
        path: of the field that is wrong, such as `$.since.seq`.
        retry: whether the same message can succeed later.
        retry_after: when, in seconds.
        data: what the application adds; None: nothing.
    """

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
        """The payload of the reply."""
        payload: dict[str, Any] = {"code": self.code, "text": str(self), "retry": self.retry}
        if self.path is not None:
            payload["path"] = self.path
        if self.retry_after is not None:
            payload["retry_after_ms"] = math.ceil(self.retry_after * 1000)
        if self.data is not None:
            payload["data"] = self.data
        return payload


class Codec:
    """One encoding.

    Attributes:
        name: the engine's word for it.
        subprotocol: what a client offers to get it.
        is_text: whether its messages are text.
    """

    def __init__(self, name: str, is_text: bool) -> None:
        self.name = name
        self.subprotocol = f"fanwire.v1.{name}"
        self.is_text = is_text
        self._module = msgspec.json if is_text else msgspec.msgpack
        self._decode = self._module.Decoder(Incoming).decode
        self._decode_any = self._module.Decoder().decode
        self._encode = self._module.Encoder().encode
        self._typed = lru_cache(maxsize=256)(lambda schema: self._module.Decoder(schema).decode)

    def decode(self, frame: bytes | str) -> Incoming:
        """A client's message.

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
            raise Refusal("bad_message", f"not {self.name}: {error}") from error
        return incoming

    def payload(self, incoming: Incoming, schema: Any = None) -> Any:
        """The payload of a message, checked against a schema: a type that msgspec knows, or a pydantic model.

        Raises:
            Refusal: `invalid_payload`, with the path of the field.
        """
        raw = bytes(incoming.payload) or (b"null" if self.is_text else b"\xc0")
        try:
            if schema is None:
                value = self._decode_any(raw)
                return _bytes_of(value) if incoming.encoding == "base64" else value
            if hasattr(schema, "model_validate"):
                return _validate(schema, self._decode_any(raw))
            return self._typed(schema)(raw)
        except msgspec.ValidationError as error:
            if isinstance(error.__cause__, Reject):
                # A validator's own, which is a ValueError as well.
                raise error.__cause__ from None
            raise Refusal("invalid_payload", _text(error), path=_path(error)) from error
        except Reject:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise Refusal("invalid_payload", str(error), path="$") from error

    def encode(self, envelope: dict[str, Any]) -> bytes:
        """An envelope; absent fields are None here."""
        encoded: bytes = self._encode({name: value for name, value in envelope.items() if value is not None})
        return encoded


def encode_payload(value: Any, raw: bytes | None) -> tuple[bytes | str, bool]:
    """What a client has published, as the engine takes it, and whether it is JSON; `raw` is that, if it came so.

    Raises:
        Refusal: `invalid_payload`, it is MessagePack that JSON has no words for: keys that are no text, bytes within
            a document, extensions, more than 254 levels.
    """
    if isinstance(value, (bytes, str)):
        return value, False
    if raw is not None:
        return raw, True
    try:
        return orjson.dumps(value), True
    except TypeError as error:
        raise Refusal("invalid_payload", f"it cannot be JSON: {error}", path="$") from error


def _bytes_of(value: Any) -> bytes:
    if not isinstance(value, str):
        raise Refusal("invalid_payload", "with the encoding base64 the payload is a string", path="$")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise Refusal("invalid_payload", f"not base64: {error}", path="$") from error


def _validate(model: Any, value: Any) -> Any:
    try:
        return model.model_validate(value)
    except ValueError as error:
        # pydantic's ValidationError is one, and says where.
        first: dict[str, Any] = error.errors()[0] if hasattr(error, "errors") else {"msg": str(error), "loc": ()}
        cause = first.get("ctx", {}).get("error", error)
        if isinstance(cause, Reject):
            raise cause from None
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise Refusal("invalid_payload", first["msg"], path=f"${path}") from error


def _text(error: Exception) -> str:
    return str(error).partition(" - at `")[0]


def _path(error: Exception) -> str:
    found = regex.search(r" - at `(\$.*)`$", str(error))
    return found[1] if found else "$"


JSON = Codec("json", is_text=True)
MSGPACK = Codec("msgpack", is_text=False)
SUBPROTOCOLS = {codec.subprotocol: codec for codec in (JSON, MSGPACK)}

RAW = "fanwire.v1.raw"
"""The subprotocol of clients without a session. They need not name it, but a browser that offers anything, such as a
token, wants one of its offers to be taken."""
