"""The files of the dashboard, which the server answers at the prefix of the admin API. They are read once: no request
names a path of the file system. They hold no secrets; the page asks for a key."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from fanwire.http.browser_client import BrowserClient

__all__ = ["Dashboard"]


class Dashboard:
    """Serves the page at `PREFIX/`, and what it loads beside it. An ASGI application.

    Args:
        prefix: the path.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._files = {name: _File(name, files("fanwire.admin").joinpath("page", name).read_bytes()) for name in FILES}
        self._client = BrowserClient()

    def has(self, path: str) -> bool:
        """Whether a path is one of these files."""
        name = path.removeprefix(self._prefix + "/")
        return path in (self._prefix, self._prefix + "/") or (name != path and name in (*FILES, "fanwire.js"))

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answers a request for one of the files."""
        request = Request(scope, receive)
        await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("this path supports GET only\n", 405, headers={"Allow": "GET, HEAD"})
        path: str = request.scope["path"]
        if path == self._prefix:
            # Relative, because a proxy may add a prefix that is not known here.
            return RedirectResponse(path.rpartition("/")[2] + "/", 307, headers={"Cache-Control": "no-store"})
        name = path.removeprefix(self._prefix + "/") or "index.html"
        if name == "fanwire.js":
            return await self._client.answer(request)
        return self._files[name].answer(request)


class _File:
    """One file."""

    def __init__(self, name: str, text: bytes) -> None:
        self._text, self._packed = text, gzip.compress(text, 9, mtime=0)
        self._kind = FILES[name]
        self._tag = f'W/"{hashlib.sha256(text).hexdigest()[:32]}"'

    def answer(self, request: Request) -> Response:
        headers = {
            "ETag": self._tag,
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding, Host",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Content-Security-Policy": policy_for(request.headers.get("Host", "")),
        }
        if self._tag in [tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")]:
            return Response(status_code=304, headers=headers)
        body = self._text
        if "gzip" in request.headers.get("Accept-Encoding", "").lower():
            body, headers["Content-Encoding"] = self._packed, "gzip"
        return Response(body, headers=headers, media_type=self._kind)


def policy_for(host: str) -> str:
    """The Content-Security-Policy of the page: nothing from elsewhere, and no code or style in the page itself.

    Args:
        host: of the request. Not every browser takes 'self' for WebSockets, so its addresses are named as well.
    """
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'{sockets}; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )


KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
"""The media types of the files, by their ending. Nothing else is served."""

FILES = {
    file.name: KINDS[file.name.rpartition(".")[2]]
    for file in files("fanwire.admin").joinpath("page").iterdir()
    if file.name.rpartition(".")[2] in KINDS
}
"""The files with their media types."""

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
