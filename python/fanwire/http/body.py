"""What the body of a publish by HTTP says: its type, its parameters, and several messages in one body. Pure;
docs/http.md has the tables.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

import msgspec

from fanwire.protocol.table import DELIVERIES, Delivery, HttpErrorCode
from fanwire.values.encoding import InvalidDocument, from_json

__all__ = ["Entry", "HttpError", "Options", "entries_of", "entry_of", "options_of", "payload_of"]


class HttpError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: of the answer.
        code: for programs: one of docs/http.md.
        path: what is wrong of the body (`$.room`) or of the query (`?key`).
        retry_after: seconds after which the same request may succeed; None: it never will.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: HttpErrorCode,
        text: str,
        path: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.path = path
        self.retry_after = retry_after

    def document(self) -> dict[str, Any]:
        """What the body of the answer says."""
        found: dict[str, Any] = {"code": self.code, "text": str(self), "retry": self.retry_after is not None}
        if self.path is not None:
            found["path"] = self.path
        if self.retry_after is not None:
            found["retry_after_ms"] = self.retry_after * 1000
        return found


class Options(NamedTuple):
    """How a message is published."""

    key: str | None = None
    delivery: str | None = None
    id: str | None = None


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """One of several messages in a body."""

    room: str
    payload: msgspec.Raw
    key: str | None = None
    delivery: Delivery | None = None
    id: str | None = None
    encoding: Literal["base64"] | None = None

    @property
    def options(self) -> Options:
        """How it is published."""
        return Options(self.key, self.delivery, self.id)

    def message(self, max_nesting: int) -> tuple[bytes | str, bool]:
        """Its payload, and whether that is JSON.

        Raises:
            HttpError: 400, the payload is not what it has to be.
        """
        payload, is_json = _json(bytes(self.payload), max_nesting, "$.payload")
        if self.encoding is None:
            return payload, is_json
        if is_json or not isinstance(payload, str):
            raise _invalid("the payload must be base64 text", "$.payload")
        try:
            return base64.b64decode(payload, validate=True), False
        except (binascii.Error, ValueError):
            raise _invalid("the payload must be base64 text", "$.payload") from None


def options_of(query: Iterable[tuple[str, str]]) -> Options:
    """Reads the parameters of a query.

    Raises:
        HttpError: 400, there is no such parameter, it comes twice, or its value is wrong.
    """
    found: dict[str, str] = {}
    for name, value in query:
        shown = name if name.isascii() and name.isidentifier() and len(name) <= 40 else "..."
        if name not in Options._fields:
            known = ", ".join(Options._fields)
            raise HttpError(HTTPStatus.BAD_REQUEST, "bad_message", f"parameters are {known}", f"?{shown}")
        if name in found:
            raise HttpError(HTTPStatus.BAD_REQUEST, "bad_message", f"{name} must be there once", f"?{name}")
        found[name] = value
    delivery = found.get("delivery")
    if delivery is not None and delivery not in DELIVERIES:
        text = f"delivery must be {', '.join(DELIVERIES[:-1])} or {DELIVERIES[-1]}"
        raise HttpError(HTTPStatus.BAD_REQUEST, "bad_message", text, "?delivery")
    return Options(**found)


def payload_of(content_type: str, body: bytes, max_nesting: int) -> tuple[bytes | str, bool]:
    """What a body is, by the type that its sender gives.

    Returns:
        The payload, and whether it is a JSON document.

    Raises:
        HttpError: 400, it is not what its type says; 415, there is nothing to be done with the type.
    """
    kind, charset = _parsed(content_type)
    if kind in UNSPECIFIC:
        return _guessed(body, max_nesting)
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        if charset not in (None, "utf-8", "ascii"):
            raise _unsupported("JSON must be UTF-8")
        return _json(body, max_nesting, "$")
    if kind.startswith("text/"):
        return _decoded(body, charset or "utf-8"), False
    if kind in NO_MESSAGES or kind.startswith("multipart/"):
        raise _unsupported("a body is one message; several go to /publish")
    return body, False


def entries_of(content_type: str, body: bytes) -> list[bytes]:
    """The messages in a body, each a JSON document.

    Raises:
        HttpError: 400, it is no list; 413, there are too many; 415, it is of another type.
    """
    kind, charset = _parsed(content_type)
    if charset not in (None, "utf-8", "ascii"):
        raise _unsupported("JSON must be UTF-8")
    if kind in LINES:
        entries = [line for line in body.split(b"\n") if line.strip()]
    elif kind == "application/json" or kind in UNSPECIFIC:
        try:
            entries = [bytes(entry) for entry in _LIST.decode(body)]
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _invalid("the body must be a JSON list of messages", "$") from None
    else:
        raise _unsupported("the body must be application/json or application/x-ndjson")
    if len(entries) > MAX_ENTRIES:
        text = f"a body must have at most {MAX_ENTRIES} messages"
        raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", text)
    return entries


def entry_of(document: bytes) -> Entry:
    """One of the messages of `entries_of`.

    Raises:
        HttpError: 400, it is none.
    """
    try:
        return _ENTRY.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        what, _, path = str(error).partition(" - at ")
        raise HttpError(HTTPStatus.BAD_REQUEST, "bad_message", what, path.strip("`") or "$") from None


def _parsed(content_type: str) -> tuple[str, str | None]:
    kind, _, parameters = content_type.partition(";")
    found = _CHARSET.search(parameters)
    if found is None:
        return kind.strip().lower(), None
    try:
        charset = codecs.lookup(found["name"]).name
    except LookupError:
        charset = ""
    if charset not in CHARSETS:
        raise _unsupported(f"the charset must be {', '.join(CHARSETS.values())}")
    return kind.strip().lower(), charset


def _guessed(body: bytes, max_nesting: int) -> tuple[bytes | str, bool]:
    """A body whose sender says nothing of its type, or what curl says without being asked."""
    try:
        return _json(body, max_nesting, "$")
    except HttpError:
        # What is JSON, and cannot be carried, is not meant as text.
        if _is_json(body):
            raise
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return body, False


def _is_json(body: bytes) -> bool:
    try:
        _ANY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    except RecursionError:
        return True
    return True


def _decoded(body: bytes, charset: str) -> str:
    try:
        return body.decode(charset)
    except UnicodeDecodeError:
        raise _invalid(f"the body is not {charset.upper()}, as its type says", "$") from None


def _json(body: bytes, max_nesting: int, path: str) -> tuple[bytes | str, bool]:
    try:
        return from_json(body, max_nesting)
    except InvalidDocument as error:
        raise _invalid(error.text, path + error.path[1:]) from None


def _invalid(text: str, path: str) -> HttpError:
    return HttpError(HTTPStatus.BAD_REQUEST, "invalid_payload", text, path)


def _unsupported(text: str) -> HttpError:
    return HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_type", text)


UNSPECIFIC = ("", "application/x-www-form-urlencoded")
"""No type, and the one that curl and others send when they are told none."""

LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")

NO_MESSAGES = LINES
"""Types of several messages."""

CHARSETS: Mapping[str, str] = {
    "utf-8": "UTF-8", "ascii": "US-ASCII", "iso8859-1": "ISO-8859-1", "cp1252": "Windows-1252", "utf-16": "UTF-16",
}  # fmt: skip
"""Charsets of texts, by Python's names for them."""

MAX_ENTRIES = 1_000
"""Messages in one body: a millisecond or two of the loop's time."""

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_ENTRY = msgspec.json.Decoder(Entry)
_ANY = msgspec.json.Decoder(msgspec.Raw)
_CHARSET = re.compile(r"(?:^|;)\s*charset\s*=\s*\"?(?P<name>[A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
