"""Makes the OpenAPI 3.1 document of the admin API from its endpoints and their types. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from fanwire.admin.documents import ProblemDocument
from fanwire.admin.endpoints import Endpoint

__all__ = ["openapi"]


def openapi(endpoints: Iterable[Endpoint], url: str) -> dict[str, Any]:
    """Returns the document.

    Args:
        endpoints: all.
        url: the path of the API.
    """
    endpoints = list(endpoints)
    types: list[Any] = [ProblemDocument]
    for one in endpoints:
        types += [one.answer, one.query, *one.bodies.values()]
        if one.body not in (None, bytes):
            types.append(one.body)
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, Any] = {}
    queries = set()
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, by_type, components)
        queries.add(one.query.__name__)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fanwire admin API", "version": "1", "description": DESCRIPTION},
        "servers": [{"url": url}],
        "paths": paths,
        "components": {
            # The types of queries are written out as parameters.
            "schemas": {name: schema for name, schema in sorted(components.items()) if name not in queries},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": schemas[repr(ProblemDocument)]}}
    answer = {"application/json": {"schema": schemas[repr(endpoint.answer)]}}
    responses: dict[str, Any] = {"200": {"description": "The answer.", "content": answer}}
    if endpoint.path.endswith("/batch"):
        responses["207"] = {"description": "Some messages were not published.", "content": answer}
    errors = {400, 401, 403, 429, 503, *endpoint.statuses, *((408, 413, 415) if endpoint.body is not None else ())}
    for status in sorted(errors):
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    operation: dict[str, Any] = {
        "operationId": _name_of(endpoint),
        "summary": endpoint.summary,
        "description": f"Needs the scope `{endpoint.scope}`.",
        "tags": [endpoint.path.split("/")[1]],
        "parameters": [*map(_path_parameter, endpoint.parameters), *_query_parameters(endpoint, components)],
        "responses": responses,
    }
    if endpoint.body is not None:
        bodies = endpoint.bodies or {"application/json": endpoint.body}
        content = {kind: {"schema": schemas[repr(body)]} for kind, body in bodies.items()}
        operation["requestBody"] = {"required": endpoint.body is bytes, "content": content}
    return operation


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(endpoint: Endpoint, components: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, schema in components[endpoint.query.__name__]["properties"].items():
        inner = dict(schema)
        if "anyOf" in inner:
            # A parameter that is not there is null in Python; in a query there is no null.
            kinds = [kind for kind in inner["anyOf"] if kind != {"type": "null"}]
            inner = {**{key: value for key, value in inner.items() if key not in ("anyOf", "default")}, **kinds[0]}
        elif inner.get("default", 0) is None:
            del inner["default"]
            inner["enum"] = [value for value in inner.get("enum", []) if value is not None]
        text = inner.pop("description", "")
        found.append({"name": name, "in": "query", "schema": inner, **({"description": text} if text else {})})
    return found


def _name_of(endpoint: Endpoint) -> str:
    """A name for generated clients, such as "get_rooms_room_values"."""
    words = endpoint.path.replace("{", "").replace("}", "").strip("/").split("/")
    return "_".join([endpoint.method.lower(), *words])


DESCRIPTION = (
    "Readings and actions for the operators of a Fanwire server. A request at one node answers for all nodes: `nodes` "
    "says which have answered, `unanswered` which have not. Errors are problem details (RFC 9457)."
)
