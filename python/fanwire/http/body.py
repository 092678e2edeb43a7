"""The body of a publish by HTTP: its type, its parameters, and several messages in one body. Pure. docs/http.md has the
tables."""

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
from fanwire.values.checks import described
from fanwire.values.encoding import InvalidDocument, from_json

__all__ = ["Entry", "HttpError", "PublishOptions", "entries_of", "entry_of", "options_of", "payload_of"]


class HttpError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: the HTTP status of the answer.
        code: the error's code for programs, one of docs/http.md.
        path: the part of the body (`$.room`) or of the query (`?key`) that is wrong; None: it is not about a part.
        retry_after: seconds after which the same request may succeed; None: it cannot succeed.
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
        """Returns the body of the answer, as a JSON object."""
        found: dict[str, Any] = {"code": self.code, "text": str(self), "retry": self.retry_after is not None}
        if self.path is not None:
            found["path"] = self.path
        if self.retry_after is not None:
            found["retry_after_ms"] = self.retry_after * 1000
        return found


class PublishOptions(NamedTuple):
    """The parameters of one publish. None: the default."""

    key: str | None = None
    delivery: str | None = None
    id: str | None = None
    where: Any = None
    tags: Any = None


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """One of several messages in a body."""

    room: str
    payload: msgspec.Raw
    key: str | None = None
    delivery: Delivery | None = None
    id: str | None = None
    where: dict[str, Any] | None = None
    tags: dict[str, Any] | None = None
    encoding: Literal["base64"] | None = None

    @property
    def options(self) -> PublishOptions:
        """The parameters of this message's publish."""
        return PublishOptions(self.key, self.delivery, self.id, self.where, self.tags)

    def message(self, max_nesting: int) -> tuple[bytes | str, bool]:
        """Returns the payload, and whether it is JSON.

        Raises:
            HttpError: 400, the payload cannot be carried or is not valid base64.
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


def options_of(query: Iterable[tuple[str, str]]) -> PublishOptions:
    """Reads the parameters of a query.

    Raises:
        HttpError: 400, a parameter is unknown, comes twice or has a wrong value.
    """
    found: dict[str, str] = {}
    for name, value in query:
        shown = name if name.isascii() and name.isidentifier() and len(name) <= 40 else "..."
        if name not in PublishOptions._fields:
            known = ", ".join(PublishOptions._fields)
            raise HttpError(
                HTTPStatus.BAD_REQUEST, "bad_message", f"unknown parameter; the parameters are {known}", f"?{shown}"
            )
        if name in found:
            raise HttpError(HTTPStatus.BAD_REQUEST, "bad_message", f"{name} must be given once", f"?{name}")
        found[name] = value
    delivery = found.get("delivery")
    if delivery is not None and delivery not in DELIVERIES:
        text = f"delivery must be {', '.join(DELIVERIES[:-1])} or {DELIVERIES[-1]}, got {described(delivery)}"
        raise HttpError(HTTPStatus.BAD_REQUEST, "bad_message", text, "?delivery")
    where, tags = (_object(found.pop(name), name) if name in found else None for name in ("where", "tags"))
    return PublishOptions(**found, where=where, tags=tags)


def _object(text: str, name: str) -> dict[str, Any]:
    try:
        return _OBJECT.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise HttpError(HTTPStatus.BAD_REQUEST, "bad_message", f"{name} must be a JSON object", f"?{name}") from None


def payload_of(content_type: str, body: bytes, max_nesting: int) -> tuple[bytes | str, bool]:
    """Reads a body by its `Content-Type`.

    Args:
        content_type: the header's value; "": the sender gives no type, and the body is JSON, text or bytes, whichever
            fits first.
        body: the body.
        max_nesting: levels of lists and maps that a JSON document may have.

    Returns:
        The payload, and whether it is a JSON document.

    Raises:
        HttpError: 400, the body does not match its type; 415, the type or the charset is not supported.
    """
    kind, charset = _parsed(content_type)
    if kind in UNSPECIFIC:
        return _guessed(body, max_nesting)
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        if charset not in (None, "utf-8", "ascii"):
            raise _unsupported(f"JSON must be UTF-8, got the charset {charset}")
        return _json(body, max_nesting, "$")
    if kind.startswith("text/"):
        return _decoded(body, charset or "utf-8"), False
    if kind in NO_MESSAGES or kind.startswith("multipart/"):
        raise _unsupported(f"{kind} has several messages; post them to /publish")
    return body, False


def entries_of(content_type: str, body: bytes) -> list[bytes]:
    """Splits a body into its messages. The body is a JSON list, or one document a line. `entry_of` reads each of them:
    a line that is no JSON is an error of its own.

    Raises:
        HttpError: 400, the body is not a list; 413, it has more than `MAX_ENTRIES` messages; 415, it has another type.
    """
    kind, charset = _parsed(content_type)
    if charset not in (None, "utf-8", "ascii"):
        raise _unsupported(f"JSON must be UTF-8, got the charset {charset}")
    if kind in LINES:
        entries = [line for line in body.split(b"\n") if line.strip()]
    elif kind == "application/json" or kind in UNSPECIFIC:
        try:
            entries = [bytes(entry) for entry in _LIST.decode(body)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _invalid("the body must be a JSON list of messages", "$") from None
    else:
        raise _unsupported(f"the body must be application/json or application/x-ndjson, got {kind[:LONGEST]}")
    if len(entries) > MAX_ENTRIES:
        text = f"the body must have at most {MAX_ENTRIES} messages, got {len(entries)}"
        raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", text)
    return entries


def entry_of(document: bytes) -> Entry:
    """Reads one of the documents that `entries_of` returns.

    Raises:
        HttpError: 400, the document is not a message.
    """
    try:
        return _ENTRY.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        what, _, path = str(error).partition(" - at ")
        raise HttpError(HTTPStatus.BAD_REQUEST, "bad_message", what, path.strip("`") or "$") from None
    except RecursionError:
        raise _invalid("the message has too many levels of lists and maps", "$") from None


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
        raise _unsupported(f"the charset must be one of {', '.join(CHARSETS.values())}, got {found['name']}")
    return kind.strip().lower(), charset


def _guessed(body: bytes, max_nesting: int) -> tuple[bytes | str, bool]:
    """Reads a body whose sender gives no type, or the one that curl sends by default."""
    try:
        return _json(body, max_nesting, "$")
    except HttpError:
        # A JSON document that cannot be carried is not meant as text.
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
        raise _invalid(f"the body must be {charset.upper()}, as its type says", "$") from None


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
"""Types that say nothing: none, and the default of curl and others."""

LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")

NO_MESSAGES = LINES
"""Types of bodies with several messages."""

CHARSETS: Mapping[str, str] = {
    "utf-8": "UTF-8", "ascii": "US-ASCII", "iso8859-1": "ISO-8859-1", "cp1252": "Windows-1252", "utf-16": "UTF-16",
}  # fmt: skip
"""The charsets of texts that are supported, by Python's names for them."""

MAX_ENTRIES = 1_000
"""The largest number of messages in one body: they take a millisecond or two of the event loop."""

LONGEST = 100
"""Characters of a type that an error quotes."""

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_ENTRY = msgspec.json.Decoder(Entry)
_ANY = msgspec.json.Decoder(msgspec.Raw)
_CHARSET = re.compile(r"(?:^|;)\s*charset\s*=\s*\"?(?P<name>[A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
