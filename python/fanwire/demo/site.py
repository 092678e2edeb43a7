"""The files of the demo's page, as an application of Starlette. They are read at the import: no request names a path
of the file system."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

__all__ = ["site"]


def site() -> Starlette:
    """The page at `/`, its files at `/page/NAME`, the demo's own code at `/code/NAME`, and the documents at
    `/docs/NAME`, where the demo runs in a clone of the repository."""
    return Starlette(
        routes=[
            Route("/", _index),
            Route("/page/{name}", _page),
            Route("/code/{name}", _code),
            Route("/docs/{name}", _document),
        ]
    )


async def _index(request: Request) -> Response:
    return _file(PAGE, "index.html")


async def _page(request: Request) -> Response:
    return _file(PAGE, request.path_params["name"])


async def _code(request: Request) -> Response:
    return _file(CODE, request.path_params["name"])


async def _document(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in DOCS:
        text = f"docs/{name} is in the repository of Fanwire. This installation has no documents."
        return PlainTextResponse(text, 404, headers=HEADERS)
    return PlainTextResponse(DOCS[name], headers=HEADERS)


def _file(kept: dict[str, bytes], name: str) -> Response:
    if name not in kept:
        return PlainTextResponse(f"there is no file {name!r} here", 404, headers=HEADERS)
    return Response(kept[name], media_type=KINDS[name.rpartition(".")[2]], headers=HEADERS)


KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "py": "text/plain"}
"""The media types of the files, by their ending. Nothing else is served."""


def _kept(folder: str, *endings: str) -> dict[str, bytes]:
    found = files("fanwire.demo").joinpath(folder).iterdir()
    return {file.name: file.read_bytes() for file in found if file.name.rpartition(".")[2] in endings}


PAGE = _kept("page", "html", "css", "js")
"""The page and what it loads."""

CODE = _kept(".", "py")
"""The code of this package, which the page shows."""

DOCS = {path.name: path.read_bytes() for path in sorted((Path(__file__).parents[3] / "docs").glob("*.md"))}
"""The documents of the clone in which the demo runs; {}: it runs elsewhere."""

HEADERS = {
    "Cache-Control": "no-store",
    # Nothing from other origins. Not every browser accepts 'self' for ws.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "connect-src 'self' ws://127.0.0.1:* ws://localhost:*; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
