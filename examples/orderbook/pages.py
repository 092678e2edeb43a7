"""The page and what it loads, as an ASGI application. The files are read at the import: no request names a path."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

KINDS = {".html": b"text/html; charset=utf-8", ".css": b"text/css", ".js": b"text/javascript"}
FILES = {path.name: path for path in (Path(__file__).parent / "page").iterdir() if path.suffix in KINDS}
BODIES = {name: path.read_bytes() for name, path in FILES.items()}


async def pages(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """Answers `/` with index.html, `/NAME` with the file of that name. Fanwire itself answers `/fanwire.js`."""
    if scope["type"] != "http":
        raise NotImplementedError  # no lifespan, and no WebSockets of its own
    name = scope["path"].strip("/") or "index.html"
    body, status = (BODIES[name], 200) if name in BODIES else (b"not found", 404)
    kind = KINDS[FILES[name].suffix] if name in BODIES else b"text/plain"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
