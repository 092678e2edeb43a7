"""The table of endpoints in docs/admin.md is that of the code. After a change: python tests/unit/test_admin_docs.py"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

from fanwire.admin import connection_endpoints, node_endpoints, room_endpoints
from fanwire.admin.publish_endpoints import publish_endpoints

DOCS = Path(__file__).parents[2] / "docs" / "admin.md"


def table() -> str:
    endpoints = [
        *room_endpoints.ENDPOINTS,
        *connection_endpoints.ENDPOINTS,
        *publish_endpoints(cast("Any", None)),
        *node_endpoints.ENDPOINTS,
    ]
    rows = [f"| `{one.method} {one.path}` | `{one.scope}` | {one.summary.rstrip('.')} |" for one in endpoints]
    return "\n".join(["| request | scope | what it does |", "|---|---|---|", *rows])


def written(text: str) -> str:
    return re.sub(r"(?s)(<!-- endpoints -->\n).*?(\n<!-- end -->)", lambda found: found[1] + table() + found[2], text)


def test_the_docs_have_all_endpoints() -> None:
    assert DOCS.read_text() == written(DOCS.read_text())


if __name__ == "__main__":
    DOCS.write_text(written(DOCS.read_text()))
