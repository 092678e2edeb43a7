"""The form of an endpoint of the admin API: its path, its scope, and the types of what it takes and returns. The routes
and the OpenAPI document are made from it. Also reads queries and bodies. Pure."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Meta, Struct

from fanwire.admin.everywhere import Everywhere, NodeAnswers
from fanwire.admin.problems import Problem
from fanwire.admin.questions import OperatorQuestion
from fanwire.admin.settings import AdminScope, Holder
from fanwire.admin.this_node import ThisNode

__all__ = [
    "AdminCall", "Endpoint", "ListQuery", "NoQuery", "NodeQuery", "PageQuery", "body_of", "check_type", "query_of",
    "text_of_path",
]  # fmt: skip

T = TypeVar("T")

NodeParameter = Annotated[
    str, Meta(max_length=100, description="The name of the only node to ask, or `this`; without it, all nodes.")
]


class NoQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class NodeQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameter of a request that all nodes answer."""

    node: NodeParameter | None = None


class ListQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a list that is the same at all nodes."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="Items of a page, at most.")] = 100
    cursor: Annotated[str, Meta(max_length=2000, description="`next` of the page before.")] | None = None


class PageQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a list of which each node has a part."""

    node: NodeParameter | None = None


@dataclass(frozen=True)
class AdminCall:
    """A request, read and checked.

    Attributes:
        this: the node that has got it.
        path: the parameters of its path, decoded.
        query: its parameters, of the endpoint's type.
        body: its body, of the endpoint's type; bytes if that is bytes; None: it has none.
        content_type: of the body.
        holder: of the key.
        address: of the client, for the log.
    """

    this: ThisNode
    path: Mapping[str, str]
    query: Any
    body: Any
    content_type: str
    holder: Holder
    address: str

    async def ask(self, question: OperatorQuestion) -> NodeAnswers:
        """Asks the nodes that the query names."""
        return await Everywhere(self.this, getattr(self.query, "node", None)).ask(question)


@dataclass(frozen=True)
class Endpoint:
    """An endpoint.

    Attributes:
        method: GET or POST.
        path: below `/api/v1`, with parameters in braces.
        scope: what its key needs.
        summary: what it does, in one line.
        handle: answers a call: the body, or a tuple of the body and the status.
        answer: the type of the body.
        query: the type of its parameters.
        body: the type of the request's body; None: it has none; bytes: `handle` reads it.
        bodies: for `bytes`: the types of the body by their media types, for the document.
        statuses: of errors, besides those that all have.
    """

    method: Literal["GET", "POST"]
    path: str
    scope: AdminScope
    summary: str
    handle: Callable[[AdminCall], Awaitable[Any]]
    answer: Any
    query: type[Struct] = NoQuery
    body: Any = None
    bodies: Mapping[str, Any] = field(default_factory=dict)
    statuses: tuple[int, ...] = ()

    @property
    def parameters(self) -> list[str]:
        """The names of the parameters of the path."""
        return re.findall(r"\{(\w+)\}", self.path)


def query_of(text: str, type: type[T]) -> T:
    """Reads the parameters of a query.

    Raises:
        Problem: 400, one is unknown, comes twice or has a wrong value.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError:
        raise Problem(400, "bad_query", "the parameters must be percent-encoded UTF-8", "?") from None
    except ValueError:
        raise Problem(400, "bad_query", f"there must be at most {MOST_FIELDS} parameters", "?") from None
    found: dict[str, str] = {}
    known = getattr(type, "__struct_fields__", ())
    for name, value in pairs:
        if name not in known:
            names = ", ".join(known) or "none"
            shown = name if name.isascii() and name.isidentifier() and len(name) <= 40 else "..."
            raise Problem(400, "bad_query", f"unknown parameter; the parameters are: {names}", f"?{shown}")
        if name in found:
            raise Problem(400, "bad_query", f"{name} must be given once", f"?{name}")
        found[name] = value
    try:
        return msgspec.convert(found, type, strict=False)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at ")
        name = path.strip("`").removeprefix("$.")
        raise Problem(400, "bad_query", f"{name}: {what}", f"?{name}") from None


def body_of(content_type: str, data: bytes, type: type[T]) -> T:
    """Reads a JSON body. An empty one counts as an object without fields.

    Raises:
        Problem: 400, it is not JSON, or a field is unknown, missing or wrong; 415, it is of another type.
    """
    if data:
        check_type(content_type)
    try:
        return msgspec.json.decode(data or b"{}", type=type)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at ")
        raise Problem(400, "bad_body", what, path.strip("`") or "$") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "bad_body", "the body must be a JSON object", "$") from None


def check_type(content_type: str) -> None:
    """Raises a `Problem`, 415, unless it is the type of a JSON body, or says nothing."""
    # curl sends the second of these by default.
    if content_type.partition(";")[0].strip().lower() not in ("", "application/x-www-form-urlencoded", JSON):
        raise Problem(415, "unsupported_type", f"the body must be {JSON}")


def text_of_path(name: str, value: str) -> str:
    """Decodes a parameter of a path, only here: an encoded slash belongs to it, not to the path.

    Raises:
        Problem: 400, it is not percent-encoded UTF-8.
    """
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise Problem(400, "bad_path", f"{name} must be percent-encoded UTF-8", f"/{name}") from None


JSON = "application/json"

MOST_FIELDS = 20
"""Parameters of a query: no endpoint has half as many."""
