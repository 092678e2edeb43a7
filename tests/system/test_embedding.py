"""An ASGI application on the server's own port, over real sockets: whose path is whose, and who asks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from helpers.asking import say
from helpers.serving import Book, take
from helpers.shop import chat, shop
from helpers.wait import within
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import fanwire

PAGE = {"Accept": "text/html"}
RIGHT = {"Authorization": "Bearer key"}


# Whose path is whose.


async def test_what_is_below_the_mount_is_fanwires_and_all_else_the_applications() -> None:
    server = Book(app=shop(), api_keys=["key"])
    async with server, await server.dial() as peer:
        assert server.url == f"ws://127.0.0.1:{server.port}/fanwire"
        # Requests to both in turn on one connection.
        for _ in range(3):
            assert json.loads((await say(peer, "GET", "/healthz")).body) == "the application's own"
            assert (await say(peer, "GET", "/fanwire/healthz")).body == b"ok\n"
            assert json.loads((await say(peer, "GET", "/rooms/7")).body) == "a room of the hotel: 7"
            assert json.loads((await say(peer, "POST", "/fanwire/rooms/a", RIGHT, b"x")).body)["seq"]
            assert (await say(peer, "GET", "/fanwire/rooms/a", PAGE)).status == 426
            assert (await say(peer, "GET", "/openapi.json")).status == 200
            for path in ("/metrics", "/fanwire", "/fanwire/nothing", "/fanwirex/healthz", "//fanwire/healthz"):
                assert json.loads((await say(peer, "GET", path)).body) == {"detail": "Not Found"}
        async with fanwire.connect(server.url) as client, server.client("/a") as raw, chat(server) as own:
            assert client.state is fanwire.ConnectionState.OPEN
            await own.send("hello")
            assert await within(own.recv()) == "ws hello"
            server.publish("a", "news")
            assert await take(raw, 1) == ["news"]
        assert sorted(conn.request.path for conn in server.opened) == ["/", "/a"]
        for path in ("/", "/nothing", "/fanwirex", "//fanwire"):
            with pytest.raises(InvalidStatus) as refused:
                await within(chat(server, path))
            assert refused.value.response.status_code == 403


async def test_mounted_everywhere_fanwire_goes_first() -> None:
    server = Book(app=shop(), mount="")
    async with server, await server.dial() as peer:
        assert (await say(peer, "GET", "/healthz")).body == b"ok\n"
        assert (await say(peer, "GET", "/rooms/7", PAGE)).status == 426
        assert (await say(peer, "GET", "/who")).status == 200
        async with chat(server, "/a") as raw:
            server.publish("a", "news")
            assert await take(raw, 1) == ["news"]


@pytest.mark.parametrize("mount", ["/live", "/a/b/"])
async def test_a_mount_without_an_application(mount: str) -> None:
    server = Book(mount=mount)
    async with server, await server.dial() as peer:
        async with server.client("/a") as raw:
            server.publish("a", "news")
            assert await take(raw, 1) == ["news"]
        assert (await say(peer, "GET", f"{mount.rstrip('/')}/healthz")).status == 200
        for path in ("/healthz", "/", "/a"):
            assert json.loads((await say(peer, "GET", path)).body)["code"] == "not_found"
        with pytest.raises(InvalidStatus) as refused:
            await within(chat(server, "/a"))
        assert refused.value.response.status_code == 404


@pytest.mark.parametrize("path", ["/rt/fanwire", "/fanwire"])
async def test_a_prefix_is_before_the_mount(path: str) -> None:
    async with Book(app=shop(), prefix="/rt") as server, await server.dial() as peer:
        assert (await say(peer, "GET", f"{path}/healthz")).body == b"ok\n"
        async with chat(server, f"{path}/a") as raw:
            server.publish("a", "news")
            assert await take(raw, 1) == ["news"]
        async with chat(server, f"{path.removesuffix('/fanwire')}/chat") as own:
            await own.send("hello")
            assert await within(own.recv()) == "ws hello"


async def test_health_is_told_where_the_mount_is_however_full_the_server_is() -> None:
    async with Book({"max_connections": 1}, app=shop()) as server, await server.peer("/fanwire"):
        for path, status in (("/fanwire/healthz", 200), ("/fanwire/readyz", 200), ("/healthz", 503), ("/readyz", 503)):
            async with await server.dial() as peer:
                assert (await say(peer, "GET", path)).status == status
    async with Book({"max_http_connections": 1}, app=shop()) as server, await server.dial() as first:
        assert (await say(first, "GET", "/who")).status == 200
        for path, status in (("/fanwire/healthz", 200), ("/fanwire/readyz?x", 200), ("/healthz", 503)):
            async with await server.dial() as peer:
                assert (await say(peer, "GET", path)).status == status


# Who asks.


async def test_the_application_sees_its_client(tls: Any) -> None:
    async with Book(app=shop()) as server, await server.dial() as peer:
        seen = json.loads((await say(peer, "GET", "/who?a=b", {"X-Forwarded-For": "10.1.1.1"})).body)
        port = peer.writer.get_extra_info("sockname")[1]
        assert seen == {"client": ["127.0.0.1", port], "url": "http://localhost/who?a=b", "docs": ""}
    async with Book(app=shop(), tls=tls[0]) as server, await server.dial(context=tls[1]) as peer:
        assert json.loads((await say(peer, "GET", "/who")).body)["url"] == "https://localhost/who"
        async with connect(f"wss://localhost:{server.port}/chat", ssl=tls[1], compression=None, proxy=None) as own:
            await own.send("hello")
            assert await within(own.recv()) == "wss hello"


@pytest.mark.parametrize(
    ("head", "client", "scheme"),
    [
        ({}, "127.0.0.1", "http"),
        ({"X-Forwarded-For": "192.0.2.7"}, "192.0.2.7", "http"),
        ({"X-Forwarded-For": "192.0.2.7, 10.0.0.1, 127.0.0.1", "X-Forwarded-Proto": "HTTPS"}, "10.0.0.1", "https"),
        ({"X-Forwarded-For": "evil, junk"}, "127.0.0.1", "http"),
        ({"X-Forwarded-For": "\u00fc", "X-Forwarded-Proto": "\u00fc"}, "127.0.0.1", "http"),
        ({"X-Forwarded-Proto": "https, http"}, "127.0.0.1", "http"),
    ],
)
async def test_behind_a_trusted_proxy_it_sees_the_proxys(head: dict[str, str], client: str, scheme: str) -> None:
    async with Book(app=shop(), trusted_proxies=["127.0.0.1"]) as server, await server.dial() as peer:
        seen = json.loads((await say(peer, "GET", "/who", head)).body)
        assert (seen["client"][0], seen["url"]) == (client, f"{scheme}://localhost/who")
        if head.get("X-Forwarded-Proto") == "HTTPS":
            async with chat(server, additional_headers=head) as own:
                await own.send("hello")
                assert await within(own.recv()) == "wss hello"
