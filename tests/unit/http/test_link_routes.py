"""POSTs, polls and preflights, without a socket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from helpers.wait import within

from fanwire.config import Config
from fanwire.http.cross_origin import CrossOrigin
from fanwire.http.link_routes import LinkRoutes
from fanwire.transports.exchange import AHEAD, BUSY, NOTHING, TAKEN, LinkReply, LinkRequest

TOKEN = "1a2b3c." + "x" * 32
POST = f"link={TOKEN}&number=1"
POLL = f"link={TOKEN}&received=0"


class Asked:
    """One request to the routes, and its answer."""

    def __init__(self, *replies: LinkReply, **config: Any) -> None:
        self.requests: list[LinkRequest] = []
        self.replies = list(replies)
        self.exceeded: list[str] = []
        rules = CrossOrigin(["a"], ["https://page.example"])
        self.routes = LinkRoutes(Config(**config), rules, False, self.exceeded.append)
        self.routes.answer = self._reply
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.left = asyncio.Event()

    async def _reply(self, request: LinkRequest) -> LinkReply:
        self.requests.append(request)
        if not self.replies:
            await asyncio.get_running_loop().create_future()
        return self.replies.pop(0)

    async def ask(self, method: str, query: str, *parts: bytes, **headers: str) -> Asked:
        lines = [(b"host", b"a"), *((n.replace("_", "-").encode(), v.encode()) for n, v in headers.items())]
        scope = {"type": "http", "method": method, "query_string": query.encode(), "headers": lines}
        assert self.routes.takes(scope, "/")
        left = list(parts or [b""])

        async def receive() -> dict[str, Any]:
            if not left:
                await self.left.wait()
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                self.body = message["body"]

        await within(self.routes(scope, receive, send))
        return self

    @property
    def code(self) -> str:
        found: str = json.loads(self.body)["code"]
        return found


async def test_a_post() -> None:
    asked = await Asked(TAKEN).ask("POST", POST, b"{}\n", b"{}")
    assert (asked.status, asked.body) == (204, b"")
    assert asked.requests == [LinkRequest(TOKEN, 1, body=b"{}\n{}")]
    assert asked.headers == {"cache-control": "no-store"}


async def test_a_poll() -> None:
    asked = await Asked(LinkReply(200, b"data: 1\n\n")).ask("GET", POLL)
    assert (asked.status, asked.body) == (200, b"data: 1\n\n")
    assert (asked.headers["content-type"], asked.headers["content-length"]) == ("text/plain; charset=utf-8", "9")
    assert (await Asked(NOTHING).ask("GET", POLL)).status == 204


async def test_errors_of_links() -> None:
    asked = await Asked(AHEAD).ask("POST", POST)
    assert (asked.status, asked.code) == (409, "bad_number")
    busy = await Asked(BUSY).ask("POST", POST)
    assert (busy.status, busy.code, busy.headers["retry-after"]) == (429, "rate_limited", "1")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "PATCH"])
async def test_other_methods(method: str) -> None:
    asked = await Asked().ask(method, POST)
    assert (asked.status, asked.headers["allow"]) == (405, "GET, POST, OPTIONS")


async def test_a_body_has_a_limit() -> None:
    # A message of 30 bytes as base64 has 40.
    assert (await Asked(TAKEN, max_message=30).ask("POST", POST, b"x" * 44)).status == 204
    for parts, headers in (([b"x" * 40, b"x" * 5], {}), ([b""], {"content_length": "45"})):
        asked = await Asked(max_message=30).ask("POST", POST, *parts, **headers)
        assert (asked.status, asked.code, asked.requests) == (413, "too_large", [])


async def test_a_compressed_body_is_refused() -> None:
    assert (await Asked().ask("POST", POST, content_encoding="gzip")).status == 415


async def test_a_slow_body(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*args: Any) -> bytes:
        raise asyncio.TimeoutError

    monkeypatch.setattr("fanwire.http.link_routes.read_body", slow)
    asked = await Asked().ask("POST", POST)
    assert (asked.status, asked.headers["connection"], asked.exceeded) == (408, "close", ["http_body_timeout"])


async def test_a_client_that_leaves_in_its_body() -> None:
    asked = Asked()

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "query_string": POST.encode(), "headers": [(b"host", b"a")]}
    await within(asked.routes(scope, gone, None))  # type: ignore[arg-type]  # nothing is sent
    assert asked.requests == []


async def test_pages() -> None:
    asked = await Asked(TAKEN).ask("POST", POST, origin="https://page.example")
    assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, "https://page.example")
    refused = await Asked().ask("POST", POST, origin="https://other.example")
    assert (refused.status, refused.code) == (403, "forbidden")
    assert "access-control-allow-origin" not in refused.headers
    wrong = await Asked().ask("POST", f"link={TOKEN}&number=x", origin="https://page.example")
    assert (wrong.status, wrong.headers["access-control-allow-origin"]) == (400, "https://page.example")


async def test_preflights() -> None:
    headers = {"origin": "https://page.example", "access_control_request_method": "POST"}
    for query in (POST, "transport=sse"):
        asked = await Asked().ask("OPTIONS", query, **headers)
        assert (asked.status, asked.requests) == (204, [])
        assert asked.headers["access-control-allow-methods"] == "GET, POST"
        assert asked.headers["access-control-max-age"] == "7200"
        assert "authorization" in asked.headers["access-control-allow-headers"]
    assert (await Asked().ask("OPTIONS", POST, origin="https://b")).status == 403


async def test_before_the_start_there_is_nothing_to_ask() -> None:
    asked = Asked()
    asked.routes = LinkRoutes(Config(), CrossOrigin(None, None), False, asked.exceeded.append)
    assert (await asked.ask("POST", POST)).status == 503
