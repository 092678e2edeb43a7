"""Applications for servers of tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Handler = Callable[[Request], Awaitable[Response]]


def site(**handlers: Handler) -> Starlette:
    """An application with a path for each handler: `get_hello` is `GET /hello`."""
    routes = []
    for name, handler in handlers.items():
        method, _, path = name.partition("_")
        routes.append(Route(f"/{path}", handler, methods=[method.upper()]))
    return Starlette(routes=routes)


class Noting:
    """An application without routes that notes what it is asked."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
