"""The built browser client, which pages load from the server: `GET /fanwire.js`."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["BrowserClient"]


class BrowserClient:
    """Answers with the file, which is read once, in the smallest form that the client takes.

    Args:
        path: of the file. Beside it, with `.br` added, is its form in brotli, if there is one.
    """

    def __init__(self, path: Path | None = None) -> None:
        path = path or FILE
        self._text = path.read_bytes()
        # The smallest first.
        self._packed: dict[str, bytes] = {}
        if (brotli := path.with_name(path.name + ".br")).exists():
            self._packed["br"] = brotli.read_bytes()
        self._packed["gzip"] = gzip.compress(self._text, 9, mtime=0)
        # Weak: the text and its compressed forms have the same tag (RFC 9110 section 8.8.1).
        self._tag = f'W/"{hashlib.sha256(self._text).hexdigest()[:32]}"'

    async def answer(self, request: Request) -> Response:
        """Answers a request. Pages of all origins may load the file: it has no secrets."""
        headers = {
            "ETag": self._tag,
            "Cache-Control": "no-cache",
            "Access-Control-Allow-Origin": "*",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        if self._tag in [tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")]:
            return Response(status_code=304, headers=headers)
        body = self._text
        accepted = _codings(request.headers.get("Accept-Encoding", ""))
        for coding, packed in self._packed.items():
            if coding in accepted:
                body, headers["Content-Encoding"] = packed, coding
                break
        return Response(body, headers=headers, media_type="text/javascript")


def _codings(header: str) -> set[str]:
    """The codings that an `Accept-Encoding` names and does not refuse with a weight of 0 (RFC 9110 section 12.5.3)."""
    found = set()
    for item in header.lower().split(","):
        name, _, weight = item.partition(";")
        if not re.fullmatch(r"\s*q=0(\.0*)?\s*", weight):
            found.add(name.strip())
    return found


FILE = Path(__file__).parents[1] / "browser" / "fanwire.js"
"""The build of the folder typescript/, which is committed here with its form in brotli."""
