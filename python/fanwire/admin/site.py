"""The admin API as an ASGI application: checks the key of each request, reads it, and answers it or says why not."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fanwire.admin import connection_endpoints, node_endpoints, room_endpoints
from fanwire.admin.access import AdminAccess
from fanwire.admin.endpoints import AdminCall, Endpoint, body_of, query_of, text_of_path
from fanwire.admin.openapi import openapi
from fanwire.admin.problems import Problem, problem_of
from fanwire.admin.publish_endpoints import publish_endpoints
from fanwire.admin.this_node import ThisNode
from fanwire.http.body_reader import AsgiReceive, AsgiSend
from fanwire.http.publishing import HttpPublisher
from fanwire.http.wrong_keys import bearer_of

__all__ = ["API", "AdminSite"]

API = "/api/v1"
"""The path of the API below the prefix. A change that would break clients gets another one."""


class AdminSite:
    """Answers all paths of the API.

    Args:
        access: checks keys.
        publisher: publishes, and reads bodies.
        this: returns the running node; raises `Closed` while there is none.
        url: the path of the API as clients see it, for the OpenAPI document.
    """

    def __init__(
        self,
        access: AdminAccess,
        publisher: HttpPublisher,
        this: Callable[[], ThisNode],
        url: str,
    ) -> None:
        self._access = access
        self._bodies = publisher.bodies
        self._this = this
        self._running = 0
        endpoints = [
            *room_endpoints.ENDPOINTS,
            *connection_endpoints.ENDPOINTS,
            *publish_endpoints(publisher),
            *node_endpoints.ENDPOINTS,
        ]
        self._endpoints, self._url = endpoints, url
        self._document = b""
        self._app = Starlette(
            routes=[Route("/openapi.json", self._openapi), *self._routes(endpoints)],
            exception_handlers={HTTPException: _refuse, Exception: _fail},
        )
        # A redirect would lead out of the API.
        self._app.router.redirect_slashes = False

    async def __call__(self, scope: Any, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answers a request. Its path is relative to the API, and percent-encoded."""
        # A peer that disconnects in the middle of its body gets no answer.
        with contextlib.suppress(ConnectionError):
            await self._app(scope, receive, send)

    def _routes(self, endpoints: Iterable[Endpoint]) -> list[Route]:
        return [Route(one.path, self._handler(one), methods=[one.method]) for one in endpoints]

    def _handler(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                return await self._answer(endpoint, request)
            except Exception as error:
                problem = problem_of(error)
                if problem is None:
                    raise
                return problem.answer()

        return handle

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        address = request.client.host if request.client is not None else ""
        key = bearer_of(request.headers.get("Authorization", "").encode("latin-1"))
        holder = self._access.enter(key, address, endpoint.scope)
        if self._running >= MOST:
            text = f"{MOST} requests of the admin API are being answered already, try again later"
            raise Problem(503, "overloaded", text, retry_after=1)
        self._running += 1
        try:
            query = query_of(request.url.query, endpoint.query)
            path = {name: text_of_path(name, request.path_params[name]) for name in endpoint.parameters}
            kind = request.headers.get("Content-Type", "")
            body: Any = None
            if endpoint.body is not None:
                body = await self._bodies.read(request)
                if endpoint.body is not bytes:
                    body = body_of(kind, body, endpoint.body)
            answer = await endpoint.handle(AdminCall(self._this(), path, query, body, kind, holder, address))
        finally:
            self._running -= 1
        document, status = answer if isinstance(answer, tuple) else (answer, 200)
        return Response(msgspec.json.encode(document), status, HEADERS, "application/json")

    async def _openapi(self, request: Request) -> Response:
        if not self._document:
            # Only when it is asked for: it takes some milliseconds.
            self._document = msgspec.json.encode(openapi(self._endpoints, self._url))
        return Response(self._document, 200, {"Cache-Control": "no-cache"}, "application/json")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    if error.status_code == 405:
        problem = Problem(405, "bad_method", "this path does not support this method; see Allow")
    else:
        problem = Problem(404, "not_found", "there is no such path; openapi.json describes all")
    return problem.answer(error.headers)


async def _fail(request: Request, error: Exception) -> Response:
    return Problem(500, "internal", "the server has failed; its log has the error").answer()


HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Readings are of this moment, and not for caches."""

MOST = 32
"""Requests that are answered at the same time: a list of all connections is work for every node."""
