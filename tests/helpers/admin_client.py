"""An operator of a server: sends requests to its admin API with a real HTTP client."""

from __future__ import annotations

import io
from typing import Any

import aiohttp
from yarl import URL

import fanwire
import fanwire.auth
from helpers.serving import Book
from helpers.wait import within

READ, WRITE, ALL = "k-read-0123456789", "k-publish-0123456", "k-all-0123456789a"
KEYS = {READ: ["read"], WRITE: ["publish"], ALL: ["read", "publish", "manage"]}


def admin(**options: Any) -> fanwire.Admin:
    """The admin API with a key of each kind."""
    return fanwire.Admin(KEYS, **options)


def ask_by_query(request: fanwire.Request) -> fanwire.Identity | fanwire.auth.Anonymous:
    """An `authenticate`: the subject is the parameter `as`."""
    subject = request.query.get("as")
    if not subject:
        return fanwire.auth.ANONYMOUS
    return fanwire.Identity(subject=subject, scopes=frozenset({"chat"}))


def operated() -> Book:
    """A server with the admin API and rooms of all kinds, to be entered."""
    server = Book(authenticate=ask_by_query, admin=admin())
    server.room("prices", publish=True, delivery="latest")
    server.room("log.*", publish=True, history=100)
    server.room("chat.*", publish=True, presence=True)
    server.room("*", publish=True)
    return server


class Operator:
    """To be entered. Answers are a status and the decoded body.

    Args:
        server: the server.
        key: the key; "": none.
    """

    def __init__(self, server: fanwire.Server, key: str = ALL, prefix: str = "/admin") -> None:
        self._url = server.url.replace("ws", "http", 1) + prefix
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Operator:
        self._session = aiohttp.ClientSession(headers=self._headers)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def ask(self, method: str, path: str, *, api: str = "/api/v1", **options: Any) -> tuple[int, Any]:
        """Sends a request."""
        if "data" in options:
            # The client warns of large bytes.
            options["data"] = io.BytesIO(options["data"])
            options.setdefault("headers", {"Content-Type": "application/json"})
        url = URL(self._url + api + path, encoded=True)
        async with self._session.request(method, url, **options) as response:
            text = await within(response.read())
            assert response.headers["Content-Type"].startswith("application/"), (response.status, text)
            if response.status >= 400:
                assert response.headers["Content-Type"] == "application/problem+json"
            return response.status, await response.json(content_type=None)

    async def get(self, path: str, **options: Any) -> Any:
        """The body of an answer that succeeds."""
        status, body = await self.ask("GET", path, **options)
        assert status == 200, body
        return body

    async def post(self, path: str, body: Any = None, **options: Any) -> Any:
        """The body of an answer that succeeds."""
        status, found = await self.ask("POST", path, json=body or {}, **options)
        assert status == 200, found
        return found

    async def fails(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """The status and the code of an answer that does not succeed."""
        status, body = await self.ask(method, path, **options)
        assert status >= 400, body
        assert body["status"] == status
        assert body["title"]
        assert body["detail"]
        return status, body["code"]

    async def pages(self, path: str, field: str) -> list[Any]:
        """All items of a list, page by page."""
        found: list[Any] = []
        sign = "&" if "?" in path else "?"
        cursor = ""
        for _ in range(1000):
            page = await self.get(path + cursor)
            found += page[field]
            if page["next"] is None:
                return found
            cursor = f"{sign}cursor={page['next']}"
        raise AssertionError("pages without an end")
