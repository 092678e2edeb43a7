"""The OpenAPI document: of an endpoint, its parameters, its bodies and its errors."""

from __future__ import annotations

from typing import Any

from openapi_spec_validator import validate

from fanwire.admin import connection_endpoints
from fanwire.admin.openapi import openapi


def test_an_endpoint_is_described() -> None:
    document = openapi(connection_endpoints.ENDPOINTS, "/rt/admin/api/v1")
    validate(document)  # type: ignore[arg-type]  # a dict is as good as a mapping
    listing: dict[str, Any] = document["paths"]["/connections"]["get"]
    assert listing["operationId"] == "get_connections"
    parameters = {one["name"]: one for one in listing["parameters"]}
    assert parameters["via"]["schema"] == {"enum": ["long-poll", "sse", "websocket"]}
    assert parameters["limit"]["schema"]["maximum"] == 1000
    assert parameters["subject"]["description"]
    closing = document["paths"]["/connections/{connection}/disconnect"]["post"]
    assert closing["parameters"][0] == {
        "name": "connection", "in": "path", "required": True, "schema": {"type": "string"},
    }  # fmt: skip
    assert closing["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("DisconnectBody")
    assert {"200", "400", "401", "403", "404", "409", "415", "429"} <= set(closing["responses"])
    assert "`manage`" in closing["description"]
    # What is in no schema would only be noise.
    assert not [name for name in document["components"]["schemas"] if name.endswith("Query")]
